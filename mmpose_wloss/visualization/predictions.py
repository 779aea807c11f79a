"""Predictions of several models beside each other, a column a person."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpose.registry import DATASETS

from ..models.wrapped_networks import load_network
from .skeleton import Skeleton


class Prediction(NamedTuple):
    """A model's prediction beside the truth, for one person.

    Args:
        crop (np.ndarray): The network's input, RGB in [0, 255], [H, W, 3].
        truth, keypoints (np.ndarray): In the crop's pixels, [K, 2].
        visible (np.ndarray): Which keypoints are annotated, [K].
        heatmaps (np.ndarray): Predicted heatmaps, [K, h, w].
        skeleton (Skeleton): Bones of the data set.
    """
    crop: np.ndarray
    truth: np.ndarray
    visible: np.ndarray
    keypoints: np.ndarray
    heatmaps: np.ndarray
    skeleton: Skeleton


def predict(config: Config, checkpoint: str,
            samples: Sequence[int] | None = None) -> list[Prediction]:
    """Predict on samples of a config's test set.

    Args:
        config (Config): Of a top-down heatmap model, or of a training that wraps it;
            crops are not rotated.
        checkpoint (str): Path of the checkpoint.
        samples (Sequence[int], optional): Indices into the test set; ``None``: all.
    """
    model, config = load_network(config, str(checkpoint))
    model.test_cfg = dict(model.test_cfg, output_heatmaps=True)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    batch = pseudo_collate([dataset[index] for index in (
        range(len(dataset)) if samples is None else samples)])
    with torch.no_grad():
        results = model.test_step(batch)

    predictions = []
    for crop, result in zip(batch['inputs'], results, strict=True):
        truth, found = result.gt_instances, result.pred_instances
        truth_in_crop, found_in_crop = (
            ((points - result.input_center) / result.input_scale + 0.5)
            * (crop.shape[2], crop.shape[1])
            for points in (truth.keypoints[0], found.keypoints[0]))
        predictions.append(Prediction(
            crop.numpy()[::-1].transpose(1, 2, 0), truth_in_crop,
            truth.keypoints_visible[0] > 0, found_in_crop,
            result.pred_fields.heatmaps.numpy(),
            Skeleton.of_metainfo(dataset.metainfo)))
    return predictions


def draw_predictions(predictions: dict[str, list[Prediction]], path: str,
                     heatmaps: bool = False) -> None:
    """Draw the truth, and below it what each model predicts.

    Args:
        predictions (dict[str, list[Prediction]]): By the model's name, on the
            same persons.
        path (str): The picture's path.
        heatmaps (bool): In place of keypoints draw heatmaps, the highest of all
            joints at each pixel, with white rings at the true joints.
    """
    rows = {'truth': next(iter(predictions.values())), **predictions}
    columns = len(rows['truth'])
    figure = Figure(figsize=(1.6 * columns + 0.8 * heatmaps, 1.75 * len(rows)),
                    layout='constrained')
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for row, (name, persons) in enumerate(rows.items()):
        grid[row][0].set_ylabel(textwrap.fill(name, 18))
        for axes, person in zip(grid[row], persons, strict=True):
            height, width = person.crop.shape[:2]
            if row and heatmaps:
                image = axes.imshow(
                    person.heatmaps.max(0), cmap='inferno', vmin=0, vmax=1,
                    extent=(0, width, height, 0))
                axes.plot(*person.truth[person.visible].T, 'o', markersize=4,
                          markerfacecolor='none', markeredgecolor='white',
                          markeredgewidth=0.6)
            else:
                axes.imshow(person.crop)
                person.skeleton.draw(
                    axes, person.keypoints if row else person.truth,
                    person.visible, width=1.2,
                    color=f'C{row - 1}' if row else 'lime')
            axes.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    if heatmaps:
        figure.colorbar(image, ax=grid[1:], shrink=0.7, label='heatmap value')
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
