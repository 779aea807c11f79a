from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.registry import DATASETS


class Prediction(NamedTuple):
    """A model's prediction beside the truth, for one person.

    Args:
        crop (np.ndarray): The network's input as RGB in [0, 255], in shape
            [H, W, 3].
        truth (np.ndarray): The true keypoints in the crop's pixels, in shape
            [K, 2].
        visible (np.ndarray): Which keypoints are annotated, in shape [K].
        keypoints (np.ndarray): The predicted keypoints in the crop's pixels,
            in shape [K, 2].
        heatmaps (np.ndarray): The predicted heatmaps, in shape [K, h, w].
        skeleton (list): Pairs of keypoint numbers.
    """

    crop: np.ndarray
    truth: np.ndarray
    visible: np.ndarray
    keypoints: np.ndarray
    heatmaps: np.ndarray
    skeleton: list


def predict(config: Config, checkpoint: str,
            samples: Sequence[int]) -> list[Prediction]:
    """Predict on samples of a config's test set.

    Args:
        config (Config): Config of a top-down heatmap model whose crops are
            not rotated.
        checkpoint (str): Path of the checkpoint.
        samples (Sequence[int]): Indices into the test set.
    """
    config = config.copy()
    config.model.test_cfg = dict(config.model.test_cfg, output_heatmaps=True)
    model = init_model(config, str(checkpoint), device='cpu')
    init_default_scope('mmpose')
    dataset = DATASETS.build(config.test_dataloader.dataset)
    batch = pseudo_collate([dataset[index] for index in samples])
    with torch.no_grad():
        results = model.test_step(batch)

    predictions = []
    for crop, result in zip(batch['inputs'], results, strict=True):
        truth, found = result.gt_instances, result.pred_instances
        size = np.array([crop.shape[2], crop.shape[1]])
        centre, scale = result.input_center, result.input_scale

        def to_crop(points, size=size, centre=centre, scale=scale):
            return (points - centre + scale / 2) / scale * size

        predictions.append(Prediction(
            crop=crop.numpy()[::-1].transpose(1, 2, 0),
            truth=to_crop(truth.keypoints[0]),
            visible=truth.keypoints_visible[0] > 0,
            keypoints=to_crop(found.keypoints[0]),
            heatmaps=result.pred_fields.heatmaps.numpy(),
            skeleton=dataset.metainfo['skeleton_links']))
    return predictions


def draw_skeleton(axes, points: np.ndarray, visible: np.ndarray,
                  skeleton: list, **style) -> None:
    """Draw keypoints in shape [K, 2] and the links between visible ones."""
    axes.plot(*points[visible].T, '.', markersize=4, **style)
    for first, second in skeleton:
        if visible[first] and visible[second]:
            axes.plot(*points[[first, second]].T, linewidth=1.2, **style)


def draw_predictions(predictions: dict[str, list[Prediction]],
                     path: str) -> None:
    """Draw the truth and each model's predictions, a column a person.

    Args:
        predictions (Dict[str, List[Prediction]]): By the model's name, on the
            same persons.
        path (str): The picture's path.
    """
    persons = next(iter(predictions.values()))
    rows = ['truth', *predictions]
    figure = Figure(figsize=(1.6 * len(persons), 1.75 * len(rows)),
                    layout='constrained')
    grid = figure.subplots(len(rows), len(persons), squeeze=False)
    for row, name in enumerate(rows):
        for column, person in enumerate(predictions.get(name, persons)):
            axes = grid[row][column]
            axes.imshow(person.crop)
            if name == 'truth':
                points, colour = person.truth, 'lime'
            else:
                points, colour = person.keypoints, f'C{row - 1}'
            draw_skeleton(axes, points, person.visible, person.skeleton,
                          color=colour)
            axes.set(xticks=[], yticks=[], xlim=(0, person.crop.shape[1]),
                     ylim=(person.crop.shape[0], 0))
        grid[row][0].set_ylabel(name)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
