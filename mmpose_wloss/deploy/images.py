"""Preprocessed images, to check and to calibrate networks with."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.registry import DATASETS
from torch import Tensor, nn

from ..common.configs import data_sets
from ..common.errors import MissingFile, UserError
from ..common.files import list_images
from ..datasets.image_size import loaded_image_size
from ..preflight import named_files


def network_images(config: Config, model: nn.Module, count: int,
                   folder: str | None = None, split: str = 'test'
                   ) -> tuple[list[Tensor], str]:
    """Images as a network takes them, by the test's own preprocessing.

    Args:
        config (Config): Config of a stock top-down model.
        model (nn.Module): The model, whose data preprocessor is used.
        count (int): How many at most, from all over the set.
        folder (str, optional): Folder of whole images, also in its folders; ``None``:
            crops of the config's data set, or noise where the files of the test set
            are not there.
        split (str): Whose data set, ``'test'`` or ``'train'``; of several the first.

    Returns:
        tuple[list[Tensor], str]: The images, each in shape [1, 3, H, W], and where they
        come from, in words.

    Raises:
        MissingFile: If the folder holds no image, or the training set is not there.
        UserError: If the head has no codec, which knows the size.
    """
    init_default_scope(config.get('default_scope', 'mmpose'))
    width, height = input_size(model)
    loader = config.get(f'{split}_dataloader')
    if folder is not None:
        pipeline = Compose(config.test_dataloader.dataset.pipeline)
        meta = dataset_meta_from_config(config, 'test') or {}
        samples = []
        for file in _spread(list_images(folder), count):
            box = np.array([[0, 0, *loaded_image_size(str(file))]], np.float32)
            samples.append(pipeline(dict(meta, img_path=str(file), bbox=box,
                                         bbox_score=np.ones(1, np.float32))))
        source = f'images of {folder}'
    elif loader and (samples := _crops(
            loader.dataset, config.test_dataloader.dataset.pipeline, count)):
        source = f'crops of the {split} set'
    elif split == 'train':
        raise MissingFile('the files of train_dataloader are not there: name a folder '
                          'of images by --images')
    else:
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(count, 1, 3, height, width, generator=generator)
        return list(noise), 'noise'
    return [model.data_preprocessor(pseudo_collate([sample]), False)
            ['inputs'].cpu() for sample in samples], source


def _crops(config: dict, pipeline: Sequence, count: int) -> list[dict]:
    """Samples from all over the first data set; none where files are not there."""
    _, dataset = next(data_sets(config))
    dataset = dict(dataset, test_mode=True, pipeline=pipeline)
    files = [file for _, file, _ in named_files(dataset, 'dataset')]
    if not any(map(Path.is_file, files)) or not all(map(Path.exists, files)):
        return []
    # MMPose prints what it loads
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = DATASETS.build(dataset)
    places = _spread(range(len(dataset)), count)
    if not all(Path(dataset.get_data_info(index)['img_path']).is_file()
               for index in places):
        return []
    return [dataset[index] for index in places]


def _spread(values: Sequence, count: int) -> list:
    places = np.linspace(0, len(values) - 1, min(count, len(values)))
    return [values[int(place)] for place in places.round()]


def input_size(model: nn.Module) -> tuple[int, int]:
    """Width and height of a model's input in pixels, by the codec of its head."""
    codec = getattr(model.head, 'decoder', None)
    if codec is None:
        raise UserError(f'the head {type(model.head).__name__} has no `decoder`: add '
                        'the codec to the config, head=dict(..., decoder=codec)')
    return tuple(int(size) for size in codec.input_size)
