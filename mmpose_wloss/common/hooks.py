"""Hooks that a component needs, whichever tool starts the training, and what they ask.

A class names them in its attribute ``hooks``; ``train`` adds those that a config
lacks.
"""

from mmengine.logging import MessageHub
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop
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


def progress_of(runner, batch_idx: int) -> tuple[float, int]:
    """How far a training has come, and how far it goes.

    Both are in epochs, or in iterations where the training counts those. The number of
    iterations tells no epoch: a training that resumes within one begins it again, and
    with another number of processes an epoch has another number of them.

    Args:
        runner (Runner): The runner of the training process.
        batch_idx (int): The number of the batch, as hooks are given it.
    """
    if isinstance(runner.train_loop, EpochBasedTrainLoop):
        return (runner.epoch + batch_idx / len(runner.train_dataloader),
                runner.max_epochs)
    return runner.iter, runner.max_iters
