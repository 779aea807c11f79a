"""Scalarizers and aggregators of torchjd, made from a config."""

import importlib
import inspect
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from . import checks
from .errors import UserError

# arguments that say how many terms there are
SIZES = ('shape', 'n_tasks')


def build_torchjd(kind: str, config: str | Mapping,
                  terms: Sequence[str]) -> nn.Module:
    """Make a scalarizer or an aggregator of torchjd.

    Args:
        kind (str): ``'scalarizer'`` or ``'aggregator'``.
        config (str or dict): Name of the class, or a dict with it as ``type`` and its
            arguments. A tensor is given as a list, or as a dict by term; how many
            terms there are is filled in.
        terms (Sequence[str]): Names of the terms, in order.

    Returns:
        nn.Module: Its tensors move with it to a device.

    Raises:
        UserError: If torchjd is missing, has no such class, or it refuses its
            arguments.
    """
    arguments = dict(type=config) if isinstance(config, str) else dict(config)
    name = arguments.pop('type', None)
    try:
        module = importlib.import_module(
            'torchjd.scalarization' if kind == 'scalarizer' else
            'torchjd.aggregation')
    except ImportError as error:
        raise UserError(f'the {kind} {name!r} needs torchjd: pip install '
                        '"mmpose_wloss[torchjd]", which needs torch 2.3') from error
    base = getattr(module, kind.capitalize())
    made = getattr(module, str(name), None)
    checks.one_of(
        [each for each in module.__all__ if kind not in each.lower()
         and issubclass(getattr(module, each), base)], **{f'{kind}.type': name})
    for size in set(SIZES) & inspect.signature(made).parameters.keys():
        arguments.setdefault(size, len(terms))
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            if value.keys() != set(terms):
                raise UserError(f'{key} of {name} must have a number for each of '
                                f'{list(terms)}, but it has {value}')
            value = [value[term] for term in terms]
        if isinstance(value, (list, tuple)):
            arguments[key] = torch.tensor(value, dtype=torch.float32)
    try:
        part = made(**arguments)
    except (TypeError, ValueError, ImportError) as error:
        raise UserError(f'torchjd makes no {name} of {arguments}: {error}') from error
    # what the config says is none of the state
    for each in part.modules():
        for key, value in [*vars(each).items(), *each.named_buffers(recurse=False)]:
            if isinstance(value, Tensor):
                delattr(each, key)
                each.register_buffer(key, value, persistent=False)
    return part
