"""Hooks that a component needs, whichever tool starts the training, and their model.

A class names them in its attribute ``hooks``; ``train`` adds those that a config
lacks.
"""

from mmengine.logging import MessageHub
from mmengine.model import is_model_wrapper
from torch import nn

from .errors import UserError


def line_to_add(hook: str) -> str:
    """What a config says to have a hook beside those that it inherits."""
    return f"custom_hooks = [*_base_.custom_hooks, dict(type='{hook}')]"


def check_hook_ran(component: object, hook: str, ran: bool) -> None:
    """Check in a training step that a component's hook has run.

    Args:
        component (object): What needs the hook.
        hook (str): The hook's name.
        ran (bool): What the hook sets before a training.

    Raises:
        UserError: If it has not, and a runner is training. Other loops than
            MMEngine's have no hooks.
    """
    if ran:
        return
    hub = MessageHub.get_current_instance()
    if hub.get_info('loop_stage') == 'train':
        raise UserError(
            f'{type(component).__name__} trains without its {hook}. Add it to '
            f'the config: {line_to_add(hook)}')


def model_of(runner) -> nn.Module:
    """The model of a runner, out of what distributes it over processes."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model
