"""Preprocessed images for a network: what an ONNX file is checked with."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.registry import DATASETS
from PIL import Image
from torch import Tensor, nn

from ..preflight import MissingFile, check_data_files

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp')


class NetworkImages(Sequence):
    """Images as a network takes them, by the config's own preprocessing.

    Whole images of a folder where one is named; else crops of the config's
    data set, always by the pipeline of the test, which does not augment. Where
    the files of the test set are not there, noise, the same each time.

    Args:
        config (Config): Config of a stock top-down model.
        model (nn.Module): The model, whose data preprocessor is used.
        folder (str, optional): Whole images are taken from here. Defaults to
            ``None``.
        split (str): Whose data set is used, ``'test'`` or ``'train'``, of
            several the first. Defaults to ``'test'``.

    Attributes:
        source (str): Where the images come from, in words.

    Raises:
        FileNotFoundError: If the folder holds no image, or if the files of
            the training set are not there.
        ValueError: If the head has no codec, which knows the size.
    """

    # noise has no end
    NOISE = 256

    def __init__(self, config: Config, model: nn.Module,
                 folder: str | None = None, split: str = 'test'):
        init_default_scope(config.get('default_scope', 'mmpose'))
        self.model = model
        self.size = input_size(model)
        self.dataset = self.pipeline = None
        loader = config.get(f'{split}_dataloader')
        if folder is not None:
            self.files = images_of(folder)
            self.pipeline = Compose(config.test_dataloader.dataset.pipeline)
            self.meta = dataset_meta_from_config(config, 'test') or {}
            self.source = f'images of {folder}'
        elif split == 'train':
            if not loader:
                raise FileNotFoundError(
                    'the config has no training set: name a folder of images')
            check_data_files(config, ['train'])
            self.dataset = _without_augmentation(config)
            self.source = 'crops of the training set'
        elif loader and _are_there(config):
            with contextlib.redirect_stdout(io.StringIO()):
                self.dataset = DATASETS.build(loader.dataset)
            self.source = 'crops of the test set'
        else:
            self.source = 'noise'

    def __len__(self) -> int:
        if self.dataset is not None:
            return len(self.dataset)
        return self.NOISE if self.pipeline is None else len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """A preprocessed image in shape [1, 3, H, W]."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self.dataset is not None:
            sample = self.dataset[index]
        elif self.pipeline is not None:
            sample = self._whole_image(self.files[index])
        else:
            width, height = self.size
            generator = torch.Generator().manual_seed(index)
            return torch.randn(1, 3, height, width, generator=generator)
        data = self.model.data_preprocessor(pseudo_collate([sample]), False)
        return data['inputs'].cpu()

    def _whole_image(self, file: Path) -> dict:
        with Image.open(file) as image:
            box = np.array([[0, 0, *image.size]], np.float32)
        return self.pipeline(dict(
            self.meta, img_path=str(file), bbox=box,
            bbox_score=np.ones(1, np.float32)))

    def spread(self, count: int) -> Iterator[Tensor]:
        """So many of the images, or all, from all over the set.

        Args:
            count (int): How many at most.

        Yields:
            Tensor: Each in shape [1, 3, H, W].
        """
        count = min(count, len(self))
        for index in np.linspace(0, len(self) - 1, count).round().astype(int):
            yield self[int(index)]


def input_size(model: nn.Module) -> tuple[int, int]:
    """Width and height of a model's input in pixels.

    Raises:
        ValueError: If its head has no codec.
    """
    codec = getattr(model.head, 'decoder', None)
    if codec is None:
        raise ValueError(
            f'the head {type(model.head).__name__} has no `decoder`, which '
            'knows the input size: add the codec to the config, '
            'head=dict(..., decoder=codec)')
    return tuple(int(size) for size in codec.input_size)


def images_of(folder: str) -> list[Path]:
    """The image files in a folder, by name.

    Raises:
        FileNotFoundError: If there is none.
    """
    files = sorted(file for file in Path(folder).glob('*')
                   if file.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(
            f'there is no image in {folder}: it is to hold files that end in '
            f'{", ".join(SUFFIXES)}')
    return files


def _without_augmentation(config: Config) -> object:
    """The training set, or the first of several, as it would be tested."""
    dataset = config.train_dataloader.dataset
    while 'datasets' in dataset or 'dataset' in dataset:
        dataset = dataset.get('dataset') or dataset['datasets'][0]
    with contextlib.redirect_stdout(io.StringIO()):
        return DATASETS.build(dict(
            dataset, test_mode=True,
            pipeline=config.test_dataloader.dataset.pipeline))


def _are_there(config: Config) -> bool:
    try:
        check_data_files(config, ['test'])
    except MissingFile:
        return False
    return True
