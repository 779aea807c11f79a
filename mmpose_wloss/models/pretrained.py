"""Checkpoints that models begin from, checked before they are taken."""

from mmengine.runner import CheckpointLoader
from torch import nn

from ..common.errors import UserError


def check_pretrained(init_cfg: dict, module: nn.Module, key: str) -> None:
    """Refuse a checkpoint that has nothing of a module: MMEngine would only warn.

    It is read once more for that.

    Args:
        init_cfg (dict): With a ``checkpoint``, and maybe a ``prefix``.
        module (nn.Module): What is to begin from it. Where checkpoints may have other
            names than its own, its method ``own_name`` translates them.
        key (str): The config's key, for the error.

    Raises:
        UserError: If no name has the shape there that it has in the module.
    """
    content = CheckpointLoader.load_checkpoint(
        init_cfg['checkpoint'], map_location='cpu')
    prefix = init_cfg.get('prefix', '')
    prefix = f'{prefix}.' if prefix and not prefix.endswith('.') else prefix
    own, own_name = module.state_dict(), getattr(module, 'own_name', str)
    for name, value in content.get('state_dict', content).items():
        name = name.removeprefix('module.')
        if name.startswith(prefix):
            mine = own.get(own_name(name.removeprefix(prefix)))
            if mine is not None and mine.shape == value.shape:
                return
    raise UserError(
        f'{key}: {init_cfg["checkpoint"]} has no weight of the backbone'
        + (f' below {prefix!r}' if prefix else '') + '. Of the checkpoint of a '
        "whole network, prefix='backbone.' takes the backbone")
