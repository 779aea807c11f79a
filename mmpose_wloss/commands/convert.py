"""Checkpoints of the source's hourglass code, as plain stock checkpoints."""

import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import MODELS
from torch import Tensor

from ..models.wrapped_networks import write_checkpoint

# where a part of the source's network is in ours; of its hourglass, the
# numbers are levels, the innermost first, and places
STEM = {'conv1': 'stem.0.conv', 'bn1': 'stem.0.bn', 'layer1.0': 'stem.1',
        'layer2.0': 'stem.3', 'layer3.0': 'stem.4'}
PLACES = ('skip', 'down', 'up', 'inner')
STACKED = {'score': 'predictions', 'fc_': 'remap_features',
           'score_': 'remap_predictions'}
BOTTLENECK = {
    **{f'conv{number}': f'conv{number}.conv' for number in (1, 2, 3)},
    **{f'bn{number}': f'conv{number}.bn' for number in (1, 2, 3)},
    'downsample.0': 'shortcut',
}
PARAMETER = r'(weight|bias|running_mean|running_var|num_batches_tracked)'
MPII_JOINTS = 16


class Hourglass(NamedTuple):
    """What names and shapes of a state say of the network.

    The fields are the arguments of :class:`PreActHourglassNet`.
    """

    num_stacks: int
    num_blocks: int
    num_feats: int
    mobile: bool
    out_channels: int
    stem_channels: int
    downsample_times: int

    def __str__(self) -> str:
        """As a message has it."""
        return (f'num_stacks {self.num_stacks}, num_blocks '
                f'{self.num_blocks}, num_feats {self.num_feats}, '
                f'{"mobile" if self.mobile else "not mobile"}, '
                f'{self.out_channels} joints')


def read_hourglass(state: dict[str, Tensor]) -> Hourglass:
    """Tell the network from the names and shapes of its state.

    Args:
        state (dict): State of the source's hourglass, without ``module.``.

    Returns:
        Hourglass: The arguments that build the same network.

    Raises:
        ValueError: If the state is of another network.
    """
    def count(pattern: str) -> int:
        found = (re.match(pattern, name) for name in state)
        return 1 + max(int(match[1]) for match in found if match)

    try:
        middle = state['res.0.0.conv2.weight']
        return Hourglass(
            num_stacks=count(r'score\.(\d+)\.'),
            num_blocks=count(r'res\.0\.(\d+)\.'),
            num_feats=len(middle),
            mobile=middle.shape[1] == 1 < len(middle),
            out_channels=len(state['score.0.weight']),
            stem_channels=len(state['conv1.weight']),
            downsample_times=count(r'hg\.0\.hg\.(\d+)\.'))
    except (KeyError, ValueError) as error:
        raise ValueError(
            "this is no state of the source's hourglass, whose names begin "
            'with conv1, layer1, hg, res, fc and score: it lacks '
            f'{error.args[0] if isinstance(error, KeyError) else "stacks"}, '
            f'and its first names are {", ".join(list(state)[:3])}') from None


def convert_hourglass_state(
        state: dict[str, Tensor]
) -> tuple['OrderedDict[str, Tensor]', Hourglass]:
    """Give the source's weights the names of :class:`PreActHourglassNet`.

    Args:
        state (dict): State of the source's hourglass, with or without
            ``module.`` before its names.

    Returns:
        tuple[OrderedDict, Hourglass]: State of the backbone, and the
        arguments that build it.

    Raises:
        ValueError: If the state is of another network, or has a name that
            the source's hourglass has not.
    """
    state = {name.removeprefix('module.'): value
             for name, value in state.items()}
    network = read_hourglass(state)
    converted = OrderedDict(
        (_converted_name(name, network), value)
        for name, value in state.items())
    # PyTorch 0.4.0 and before did not count batches, and nothing reads it
    for name in list(converted):
        if name.endswith('running_var'):
            converted.setdefault(
                name.replace('running_var', 'num_batches_tracked'),
                torch.tensor(0))
    return converted, network


def _converted_name(name: str, network: Hourglass) -> str:
    bottleneck = '|'.join(map(re.escape, BOTTLENECK))
    if match := re.fullmatch(rf'(conv1|bn1)\.{PARAMETER}', name):
        return f'{STEM[match[1]]}.{match[2]}'
    if match := re.fullmatch(rf'(layer[123]\.0)\.({bottleneck})\.{PARAMETER}',
                             name):
        return f'{STEM[match[1]]}.{BOTTLENECK[match[2]]}.{match[3]}'
    if match := re.fullmatch(
            rf'hg\.(\d+)\.hg\.(\d+)\.([0-3])\.(\d+)\.({bottleneck})\.'
            rf'{PARAMETER}', name):
        stack, level, place, block, layer, parameter = match.groups()
        # ours are nested from the outermost on
        within = (network.downsample_times - 1 - int(level)) * 'inner.'
        return (f'hourglasses.{stack}.{within}{PLACES[int(place)]}.{block}.'
                f'{BOTTLENECK[layer]}.{parameter}')
    if match := re.fullmatch(rf'res\.(\d+)\.(\d+)\.({bottleneck})\.{PARAMETER}',
                             name):
        return (f'features.{match[1]}.{match[2]}.{BOTTLENECK[match[3]]}.'
                f'{match[4]}')
    if match := re.fullmatch(rf'fc\.(\d+)\.([01])\.{PARAMETER}', name):
        return (f'features.{match[1]}.{network.num_blocks}.'
                f'{("conv", "bn")[int(match[2])]}.{match[3]}')
    if match := re.fullmatch(rf'(score_?|fc_)\.(\d+)\.{PARAMETER}', name):
        return f'{STACKED[match[1]]}.{match[2]}.{match[3]}'
    raise ValueError(f"the source's hourglass has no {name}: this is a "
                     'checkpoint of another network')


def load_source(path: str) -> dict:
    """Read a checkpoint that the source's training wrote.

    Args:
        path (str): The file, ``.pth.tar`` or other.

    Returns:
        dict: Its content, with ``state_dict``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or holds objects that could run
            code when they are read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f'{path} holds more than tensors, numbers and text, and is not '
            'read, because that could run code. If you trust it, '
            'write its state_dict alone into a file, where it was trained: '
            "torch.save(dict(state_dict=torch.load(FILE)['state_dict']), OUT)"
        ) from error
    except (RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f'{path} cannot be read, it is cut off or no '
                         f'checkpoint: {error}') from error
    if not isinstance(content, dict) or not content.get('state_dict'):
        raise ValueError(f'{path} has no state_dict: it is no checkpoint of '
                         "the source's training")
    return content


def convert_checkpoint(source: str, out: str, config: str | None = None
                       ) -> Hourglass:
    """Write a checkpoint of the source's code as a stock checkpoint.

    The weights are the same numbers under the names of
    :class:`PreActHourglassNet` as the backbone of a ``TopdownPoseEstimator``;
    a ``CPMHead`` with ``final_layer=None`` has none.

    Args:
        source (str): Checkpoint of the source's training.
        out (str): The file to write, ``.pth``.
        config (str, optional): Config of the same network, which the
            checkpoint is to hold, so that MMPose's inferencer needs no other.
            Defaults to ``None``: it holds none.

    Returns:
        Hourglass: The network, as read off the names and shapes.

    Raises:
        FileNotFoundError: If there is no such checkpoint or config.
        ValueError: If the checkpoint is not of the source's hourglass, or the
            config is not of the same network.
    """
    if not out.endswith('.pth'):
        raise ValueError(f'OUT must end in .pth, but it is {out}')
    content = load_source(source)
    try:
        state, network = convert_hourglass_state(content['state_dict'])
        MODELS.build(dict(type='PreActHourglassNet', **network._asdict())
                     ).load_state_dict(state, strict=True)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f'{source}: {error}') from error

    meta = {key: value for key, value in dict(
        epoch=content.get('epoch'), arch=content.get('arch')).items()
        if isinstance(value, int | str)}
    if network.out_channels == MPII_JOINTS:
        meta['dataset_meta'] = parse_pose_metainfo(
            dict(from_file='configs/_base_/datasets/mpii.py'))
    state = OrderedDict(
        (f'backbone.{name}', value) for name, value in state.items())
    if config is not None:
        meta['cfg'] = _fitting_config(config, network, state).pretty_text
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(dict(meta=meta, state_dict=state), Path(out))
    return network


def _fitting_config(path: str, network: Hourglass,
                    state: dict[str, Tensor]) -> Config:
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no config {path}')
    config = Config.fromfile(path)
    init_default_scope(config.get('default_scope', 'mmpose'))
    try:
        MODELS.build(config.model).load_state_dict(state, strict=True)
    except RuntimeError:
        backbone = dict(config.model.get('backbone') or {})
        raise ValueError(
            f'the checkpoint has {network}, but the backbone of {path} is '
            f'{backbone}: take the config of the same network, or change '
            'its backbone and num_stages of its head') from None
    return config
