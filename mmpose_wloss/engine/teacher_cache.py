"""Compute a teacher's targets once, for a fixed augmentation."""

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm import tqdm

from ..datasets.poses import annotation_files
from ..models.distillers.frozen_teacher import FrozenTeacher
from ..models.distillers.teacher_cache import (
    INPUTS,
    cache_inputs,
    config_digest,
    file_digest,
    joined_targets,
)
from ..structures.teacher_cache import (
    FORMAT,
    INDEX,
    KEY_BYTES,
    TeacherCacheError,
    image_key,
    read_index,
    shard_files,
)
from .export import is_ours
from .files import write_whole

# of MMPose's transforms, those that draw and do not say so in their name
RANDOM = ('PhotometricDistortion', 'Albumentation', 'YOLOXHSVRandomAug',
          'YOLOXMixUp', 'Mosaic')
DTYPES = ('float16', 'float32')
DATA = dict(pipeline="the training's data or pipeline",
            annotations='the annotation files', dtype='the dtype')


def without_cache(config):
    """A config without ``LoadTeacherTargets`` in any pipeline."""
    if isinstance(config, dict):
        return ConfigDict({key: without_cache(value)
                           for key, value in config.items()})
    if isinstance(config, (list, tuple)):
        return type(config)(without_cache(part) for part in config
                            if not is_ours(part, 'LoadTeacherTargets'))
    return config


def wrapped(dataset: Dataset) -> Iterator[Dataset]:
    """A data set and all that it wraps."""
    yield dataset
    for inner in getattr(dataset, 'datasets', None) or [
            getattr(dataset, 'dataset', None)]:
        if inner is not None:
            yield from wrapped(inner)


def transform_names(dataset: Dataset) -> list[str]:
    """Names of the transforms in the pipelines of a data set."""
    transforms = [part.pipeline for part in wrapped(dataset)
                  if hasattr(part, 'pipeline')]
    for transform in transforms:
        # pipelines hold transforms, and so do wrappers such as RandomApply
        transforms.extend(getattr(transform, 'transforms', None) or ())
    return list(dict.fromkeys(
        type(transform).__name__ for transform in transforms
        if type(transform).__name__ != 'Compose'))


def input_key(sample: dict) -> bytes:
    """The key of a packed sample's image."""
    return image_key(sample['inputs'].permute(1, 2, 0).contiguous().numpy())


def check_fixed(dataset: Dataset, count: int = 16) -> None:
    """Check that samples are the same whenever they are drawn.

    Args:
        dataset (Dataset): With pipelines that pack.
        count (int): How many samples to draw, twice each.

    Raises:
        ValueError: If they are not; names the transforms to remove.
    """
    indices = np.unique(np.linspace(0, len(dataset) - 1, count).astype(int))
    drawn = []
    for seed in (0, 1):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        drawn.append([input_key(dataset[int(index)]) for index in indices])
    differing = sum(one != other for one, other in zip(*drawn, strict=True))
    if differing:
        names = transform_names(dataset)
        drawing = [name for name in names
                   if 'Random' in name or name in RANDOM]
        raise ValueError(
            f'the augmentation is not fixed: {differing} of {len(indices)} '
            'samples are other images when they are drawn again, and a cache '
            'has one target of each. Remove from the pipelines of '
            'train_dataloader what draws: ' +
            (', '.join(drawing) or f'one or more of {", ".join(names)}'))


class _Writer:
    """Writes targets shard by shard, and the index after each."""

    def __init__(self, folder: Path, index: dict):
        self.folder = folder
        self.index = index

    def write_index(self) -> None:
        write_whole(self.folder / INDEX,
                    json.dumps(self.index, indent=1) + '\n')

    def write_shard(self, keys: list[bytes], targets: np.ndarray) -> None:
        shard = len(self.index['shards'])
        keys = np.frombuffer(b''.join(keys), np.uint8).reshape(-1, KEY_BYTES)
        for name, values in zip(shard_files(shard), (keys, targets),
                                strict=True):
            partial = self.folder / f'{name}.partial'
            with open(partial, 'wb') as file:
                np.save(file, values, allow_pickle=False)
            os.replace(partial, self.folder / name)
        self.index['shards'].append(len(keys))
        self.write_index()


def _begin(folder: Path, index: dict) -> _Writer:
    """Begin a cache, or go on with one of the same inputs."""
    if not (folder / INDEX).exists():
        if folder.exists() and any(folder.iterdir()):
            raise TeacherCacheError(
                f'{folder} holds other files and no cache. Name a new or '
                'empty folder')
        folder.mkdir(parents=True, exist_ok=True)
        writer = _Writer(folder, index)
        writer.write_index()
        return writer
    found = read_index(folder)
    differing = [
        what for key, what in {**INPUTS, **DATA}.items()
        if found['inputs'].get(key) != index['inputs'][key]]
    if differing or found['samples'] != index['samples']:
        raise TeacherCacheError(
            f'{folder} holds targets of others: '
            f'{" and ".join(differing) or "the number of samples"} differ. '
            'Name another folder, or delete this one')
    return _Writer(folder, found)


def build_distiller(config: Config) -> nn.Module:
    """The distiller of a config, with its teacher.

    Args:
        config (Config): Of a training.

    Returns:
        nn.Module: On the CPU, in evaluation mode.

    Raises:
        ValueError: If the config trains no ``FastPoseDistiller``, or draws
            when batches are preprocessed.
    """
    if not is_ours(config.get('model'), 'FastPoseDistiller'):
        kind = (config.get('model') or {}).get('type')
        raise ValueError(
            f'{config.filename} trains a {kind}; targets are cached for a '
            'FastPoseDistiller')
    model = ConfigDict(config.model)
    model.pop('teacher_cache', None)
    distiller = MODELS.build(model).eval()
    if getattr(distiller.data_preprocessor, 'batch_augments', None):
        raise ValueError(
            'the augmentation is not fixed: data_preprocessor has '
            'batch_augments, which draw for each batch. Remove them')
    return distiller


def cache_teacher(config: Config,
                  out: str,
                  device: str = 'cpu',
                  dtype: str = 'float16',
                  batch_size: int = 32,
                  workers: int = 0,
                  shard_size: int = 512,
                  progress: bool = True) -> dict:
    """Write what the teacher of a training predicts of each of its images.

    Interrupted, it goes on where it was when it is called again.

    Args:
        config (Config): Of a training of ``FastPoseDistiller`` with a fixed
            augmentation.
        out (str): The folder to write.
        device (str): Where the teacher runs. Defaults to ``'cpu'``.
        dtype (str): ``'float16'`` or ``'float32'``.
        batch_size (int): Images at a time.
        workers (int): Processes that load them. Defaults to 0: none.
        shard_size (int): Samples in a file.
        progress (bool): Show a bar.

    Returns:
        dict: ``samples``, ``computed`` (by this call), ``bytes`` and
        ``seconds``.

    Raises:
        ValueError: If the augmentation is not fixed, the config has no
            ``FastPoseDistiller`` or an argument is out of range.
        TeacherCacheError: If the folder holds anything else.
    """
    if dtype not in DTYPES:
        raise ValueError(f'dtype must be one of {list(DTYPES)}, but it is '
                         f'{dtype!r}')
    if batch_size < 1 or shard_size < 1:
        raise ValueError('batch_size and shard_size must be at least 1, but '
                         f'they are {batch_size} and {shard_size}')
    start = time.monotonic()
    init_default_scope('mmpose')
    data = without_cache(config.train_dataloader.dataset)
    digest = config_digest(data)  # before registries take keys out
    distiller = build_distiller(config)
    dataset = DATASETS.build(data)
    check_fixed(dataset)

    teacher: FrozenTeacher = distiller.teacher
    taught = teacher.targets.taught
    names = (teacher.meta.get('dataset_meta') or {}).get(
        'keypoint_id2name') or {}
    files = {file for part in wrapped(dataset) if hasattr(part, 'ann_file')
             for file in annotation_files(part) if file}
    writer = _begin(Path(out), dict(
        format=FORMAT,
        inputs=dict(
            **cache_inputs(distiller.teacher_config,
                           distiller.teacher_checkpoint, distiller.outputs,
                           distiller.keypoint_mapping),
            pipeline=digest, dtype=dtype,
            annotations=sorted(map(file_digest, files))),
        shapes=teacher.targets.shapes, dtype=dtype,
        taught=None if taught is None else taught.tolist(),
        keypoint_names=names, teacher_digest=teacher.digest,
        gives_labels=teacher.gives_labels,
        samples=len(dataset), shards=[], complete=False))

    distiller.to(device)
    done = sum(writer.index['shards'])
    loader = DataLoader(
        Subset(dataset, range(done, len(dataset))), batch_size,
        num_workers=workers, collate_fn=pseudo_collate)
    keys, targets = [], []
    with tqdm(total=len(dataset), initial=done, unit='image',
              desc='teacher targets', disable=not progress) as bar:
        for batch in loader:
            keys += [input_key(dict(inputs=image)) for image in
                     batch['inputs']]
            targets.append(_targets(distiller, batch, dtype))
            bar.update(len(batch['inputs']))
            while len(keys) >= shard_size:
                rows = np.concatenate(targets)
                writer.write_shard(keys[:shard_size], rows[:shard_size])
                keys, targets = keys[shard_size:], [rows[shard_size:]]
    if keys:
        writer.write_shard(keys, np.concatenate(targets))
    writer.index['complete'] = True
    writer.write_index()
    return dict(
        samples=len(dataset), computed=len(dataset) - done,
        bytes=sum(path.stat().st_size for path in Path(out).iterdir()),
        seconds=time.monotonic() - start)


@torch.no_grad()
def _targets(distiller: nn.Module, batch: dict, dtype: str) -> np.ndarray:
    inputs = distiller.data_preprocessor(batch, False)['inputs']
    targets = joined_targets(distiller.teach(inputs)).cpu().numpy()
    with np.errstate(over='ignore'):
        targets = targets.astype(dtype)
    if not np.isfinite(targets).all():
        raise ValueError(f'the teacher predicts what {dtype} cannot hold, or '
                         'no numbers. Look at its weights')
    return targets
