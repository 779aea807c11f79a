"""The hooks that a training needs beside those of its config."""

from mmengine.config import Config

from ..common.configs import add_import, components
from .components import class_of


def add_hooks(cfg: Config) -> None:
    """Add the hooks that a training needs and its config has not.

    These are a :class:`ResumableRandomnessHook` and those that its components
    ask for. The import goes with them, so that MMPose's own tools can use the
    config that the training writes into its folder.

    Args:
        cfg (Config): Config of a training, changed in place.
    """
    needed = ['ResumableRandomnessHook']
    for _, component in components(cfg.to_dict()):
        needed += getattr(class_of(component), 'hooks', ())
    there = [getattr(class_of(hook), '__name__', None) for hook in (
        *(cfg.get('custom_hooks') or []),
        *(cfg.get('default_hooks') or {}).values()) if hook]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), *(
        dict(type=name) for name in dict.fromkeys(needed) if name not in there)]
    add_import(cfg)
