"""Checkpoints of the original hourglass code, as MMPose has them."""

import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS
from torch import Tensor

from ..codecs import HourglassHeatmap
from ..common.configs import is_of_class
from ..common.errors import UserError
from ..common.files import existing_file
from ..common.state_dicts import check_fits
from ..models.backbones import PreActHourglassNet
from ..models.wrapped_networks import write_checkpoint
from .original_checkpoint import read_original

# parts of names in the original code, and in ours
RENAMED = (
    (r'\.conv([123])\.', r'.conv\1.conv.'), (r'\.bn([123])\.', r'.conv\1.bn.'),
    (r'\.downsample\.0\.', '.shortcut.'),
    (r'^conv1\.', 'stem.0.conv.'), (r'^bn1\.', 'stem.0.bn.'),
    (r'^layer1\.0\.', 'stem.1.'), (r'^layer2\.0\.', 'stem.3.'),
    (r'^layer3\.0\.', 'stem.4.'), (r'^res\.', 'features.'),
    (r'^score\.', 'predictions.'), (r'^fc_\.', 'remap_features.'),
    (r'^score_\.', 'remap_predictions.'))
# of its numbers 0 to 3 within a level of an hourglass
PLACES = ('skip', 'down', 'up', 'inner')
MPII_JOINTS = 16
CODEC = HourglassHeatmap.__name__


def read_hourglass(state: dict[str, Tensor]) -> dict:
    """The arguments of :class:`PreActHourglassNet` that a state tells.

    Args:
        state (dict): State of the original hourglass, without ``module.``.

    Raises:
        UserError: If the state is of another network.
    """
    def count(pattern: str) -> int:
        found = (re.match(pattern, name) for name in state)
        return 1 + max((int(match[1]) for match in found if match), default=0)

    for name in ('res.0.0.conv2.weight', 'score.0.weight', 'conv1.weight'):
        if name not in state:
            raise UserError(
                f'this is no state of the original hourglass, PoseCons or PoseDual: it '
                f'lacks {name}, and begins with {", ".join(list(state)[:3])}')
    middle = state['res.0.0.conv2.weight']
    return dict(
        num_stacks=count(r'score\.(\d+)\.'),
        num_blocks=count(r'res\.0\.(\d+)\.'),
        num_feats=len(middle),
        mobile=middle.shape[1] == 1 < len(middle),
        out_channels=len(state['score.0.weight']),
        stem_channels=len(state['conv1.weight']),
        downsample_times=count(r'hg\.0\.hg\.(\d+)\.'))


def convert_hourglass_state(state: dict[str, Tensor]) -> tuple[dict, dict]:
    """Give the original weights the names of :class:`PreActHourglassNet`.

    Args:
        state (dict): State of the original hourglass, with or without ``module.``.

    Returns:
        tuple[dict, dict]: State of the backbone, and the arguments that build it.

    Raises:
        UserError: If the state is of another network.
    """
    state = {name.removeprefix('module.'): value for name, value in state.items()}
    network = read_hourglass(state)
    converted = {_converted_name(name, network): value for name, value in state.items()}
    # PyTorch 0.4.0 and before did not count batches, and nothing reads it
    for name in list(converted):
        if name.endswith('running_var'):
            converted.setdefault(
                name.replace('running_var', 'num_batches_tracked'),
                torch.tensor(0))
    return converted, network


def _converted_name(name: str, network: dict) -> str:
    for pattern, ours in RENAMED:
        name = re.sub(pattern, ours, name)
    if match := re.match(r'hg\.(\d+)\.hg\.(\d+)\.([0-3])\.', name):
        # levels are counted from the innermost; ours are nested
        within = (network['downsample_times'] - 1 - int(match[2])) * 'inner.'
        return (f'hourglasses.{match[1]}.{within}{PLACES[int(match[3])]}.'
                f'{name[match.end():]}')
    if match := re.match(r'fc\.(\d+)\.([01])\.', name):
        return (f'features.{match[1]}.{network["num_blocks"]}.'
                f'{("conv", "bn")[int(match[2])]}.{name[match.end():]}')
    return name


def convert_checkpoint(source: str, out: str, config: str | None = None) -> dict:
    """Write a checkpoint of the original code as a stock checkpoint.

    The weights are the same numbers under the names of
    :class:`PreActHourglassNet` as the backbone of a ``TopdownPoseEstimator``;
    a ``CPMHead`` with ``final_layer=None`` has none. Its heatmaps are those of
    :class:`HourglassHeatmap`: another codec reads them half a pixel aside.

    Args:
        source (str): Checkpoint of the original training.
        out (str): The file to write, ``.pth``.
        config (str, optional): Config of the same network, which the
            checkpoint is to hold for MMPose's inferencer.

    Returns:
        dict: The network, as :func:`read_hourglass` tells it.

    Raises:
        MissingFile: If there is no such checkpoint or config.
        UserError: If it is no original hourglass, or not that of the config, or if
            the config reads heatmaps by another codec.
    """
    if not out.endswith('.pth'):
        raise UserError(f'OUT must end in .pth, but it is {out}')
    content = read_original(source)
    state, network = convert_hourglass_state(content['state_dict'])
    check_fits(state, PreActHourglassNet(**network).state_dict(), source,
               f'Its names are those of {network}, which has more')
    meta = {key: content[key] for key in ('epoch', 'arch')
            if isinstance(content.get(key), int | str)}
    if network['out_channels'] == MPII_JOINTS:
        meta['dataset_meta'] = parse_pose_metainfo(
            dict(from_file='configs/_base_/datasets/mpii.py'))
    state = {f'backbone.{name}': value for name, value in state.items()}
    if config is not None:
        given = Config.fromfile(existing_file(config, 'config'))
        init_default_scope('mmpose')
        check_fits(state, MODELS.build(given.model).state_dict(), source,
                   f'It has {network}, but the model of {config} is another '
                   'one: change backbone and num_stages of the head')
        decoder = given.model.head.get('decoder')
        if not is_of_class(decoder, CODEC):
            raise UserError(
                f'{source} predicts heatmaps of {CODEC}, but model.head.decoder of '
                f'{config} is {decoder}, which would read them half a pixel aside. '
                f"Set its type, and that of the encoder, to '{CODEC}'")
        meta['cfg'] = given.pretty_text
    write_checkpoint(dict(meta=meta, state_dict=state), Path(out))
    return network
