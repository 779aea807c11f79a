"""States of models, compared before they are loaded."""

from collections.abc import Mapping

from torch import Tensor, nn

from .errors import UserError
from .hooks import model_of

SHOWN = 3


def differences(state: Mapping[str, Tensor],
                needed: Mapping[str, Tensor]) -> list[str]:
    """What keeps a state from loading strictly, a line for each key.

    Args:
        state (Mapping): The state to load.
        needed (Mapping): The state of the model that is to take it.

    Returns:
        list[str]: Keys with the shape in the checkpoint and in the model.
    """
    theirs, ours = ({key: tuple(value.shape) for key, value in one.items()}
                    for one in (state, needed))
    return [f'{key}: {theirs.get(key, "absent")} in the checkpoint, '
            f'{ours.get(key, "absent")} in the model'
            for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]


def check_fits(state: Mapping[str, Tensor], needed: Mapping[str, Tensor],
               source: str, advice: str) -> None:
    """Check that a state loads strictly; MMEngine would load what fits.

    Args:
        state (Mapping): The state to load.
        needed (Mapping): The state of the model that is to take it.
        source (str): Where the state is from, for the error.
        advice (str): What to do about it, for the error.

    Raises:
        UserError: If names or shapes differ; it shows the first.
    """
    differing = differences(state, needed)
    if differing:
        raise UserError(
            f'{source} is of another model: {len(differing)} of its parameters '
            f'differ, first {"; ".join(differing[:SHOWN])}. {advice}')


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], source: str,
                  advice: str) -> None:
    """Load a state that has just the names and shapes of a model.

    Args:
        model (nn.Module): The model that takes it.
        state (Mapping): The state; ``module.`` of a wrapped model may stand
            before all names.
        source (str): Where the state is from, for the error.
        advice (str): What to do about it, for the error.

    Raises:
        UserError: If names or shapes differ; it shows the first.
    """
    if state and all(key.startswith('module.') for key in state):
        state = {key.removeprefix('module.'): value
                 for key, value in state.items()}
    check_fits(state, model.state_dict(), source, advice)
    model.load_state_dict(state)


def check_same_model(runner, checkpoint: dict, how: str) -> None:
    """Check that a training resumes with the model that it began with.

    Args:
        runner (Runner): The runner of the training process.
        checkpoint (dict): What is going to be loaded.
        how (str): How such a training can be resumed, for the error.

    Raises:
        UserError: If names or shapes of parameters differ.
    """
    model = model_of(runner)
    check_fits(checkpoint['state_dict'], model.state_dict(),
               'the checkpoint to resume from',
               f'A training resumes {how}. Set another work_dir to begin anew, '
               'or load_from and no --resume to start from those that fit')
