"""Poses of a config's data set or of an annotation file, to fit a density to."""

import contextlib
import functools
import io
import json
import warnings
from typing import NamedTuple

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from tqdm import tqdm

from ..common.configs import (
    change_config,
    components_of_class,
    data_sets,
    without_cache,
)
from ..common.errors import UserError
from ..preflight import class_of, named_files, raise_for_missing
from .datasets.unlabeled import UnlabeledPoseDataset
from .poses import Poses, collect_poses


class PoseSource(NamedTuple):
    """Where poses come from, and what is to become of them."""
    key: str  # what errors call the data set
    dataset: dict  # its config, no wrapper's
    file: str | None = None  # that of their density, where a config names it
    trained_on: tuple[str, ...] = ()  # the files that a training would read
    options: dict = {}  # of the density


def annotation_source(file: str, dataset_type: str = 'CocoDataset',
                      images: str = '') -> PoseSource:
    """The poses of an annotation file.

    Args:
        file (str): The file.
        dataset_type (str): Name of the class of data set that reads it.
        images (str): Folder of the images.
    """
    return PoseSource(file, dict(type=dataset_type, ann_file=file,
                                 data_prefix=dict(img=images)))


def config_source(path: str, dataset: str | None = None,
                  options: dict | None = None) -> PoseSource:
    """The poses of one of the training data sets of a config.

    It is the one whose pipeline holds ``PoseDensityWeights``, else the only labeled
    one.

    Args:
        path (str): The config.
        dataset (str, optional): Key of another data set.
        options (dict, optional): Keys of the config to change.

    Raises:
        UserError: If there is no such data set, or several; names them.
    """
    config = Config.fromfile(path)
    change_config(config, options)
    init_default_scope(config.get('default_scope') or 'mmpose')
    loader = config.get('train_dataloader') or {}
    if not loader.get('dataset'):
        raise UserError(f'{path} has no train_dataloader.dataset')
    datasets = dict(data_sets(loader.dataset, 'train_dataloader.dataset'))
    weighted = [key for key, one in datasets.items() if any(
        components_of_class(one.get('pipeline'), 'PoseDensityWeights'))]
    keys = [dataset] if dataset else weighted or [
        key for key, one in datasets.items() if not _is_unlabeled(one)]
    if len(keys) != 1 or keys[0] not in datasets:
        what = (f'no training data set {dataset}' if dataset else
                'several training data sets with PoseDensityWeights'
                if weighted else
                f'{len(keys) or "no"} labeled training data sets')
        choices = ''.join(
            f'\n  {key}: {one.get("type")} {one.get("ann_file") or ""}'.rstrip()
            for key, one in datasets.items())
        raise UserError(f'{path} has {what}. Choose one by --dataset:{choices}')
    density = dict(config.get('pose_density') or {})
    sampler = loader.get('sampler') or {}
    trained_on = tuple(dict.fromkeys(filter(None, [
        *(step['file'] for _, step in components_of_class(
            loader, 'PoseDensityWeights')),
        sampler.get('file'), *(sampler.get('densities') or ())])))
    file = density.pop('file', None) or (
        trained_on[0] if len(trained_on) == 1 else None)
    return PoseSource(keys[0], datasets[keys[0]], file, trained_on, density)


def _is_unlabeled(dataset: dict) -> bool:
    return issubclass(class_of(dataset) or object, UnlabeledPoseDataset)


def read_poses(source: PoseSource) -> Poses:
    """Read the poses of a source, without its images."""
    config = dict(without_cache(source.dataset), pipeline=[])
    raise_for_missing(file for file in named_files(config, source.key)
                      if '.data_prefix.' not in file[0])
    if _is_unlabeled(source.dataset):
        raise UserError(f'{source.key} is a data set without labels, and so '
                        'without poses')
    init_default_scope('mmpose')
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        # MMPose says where it found a definition, COCO's API how far it is
        warnings.simplefilter('ignore')
        try:
            # one without annotations could not be serialized
            dataset = DATASETS.build(dict(config, lazy_init=True,
                                          serialize_data=False))
            dataset.full_init()
        except (AssertionError, AttributeError, LookupError, TypeError,
                json.JSONDecodeError, UnicodeDecodeError) as error:
            # MMPose does not check what it reads
            raise UserError(
                f'{config.get("ann_file")} cannot be read by {config["type"]} '
                f'({type(error).__name__}: {error})') from error
    return collect_poses(dataset, functools.partial(
        tqdm, desc='reading poses', unit=' poses'))
