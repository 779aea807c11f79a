"""What a training must find unchanged when it resumes."""

from mmengine.model import is_model_wrapper


def check_same_weights(runner, checkpoint: dict, how: str) -> None:
    """Refuse to resume from a checkpoint of another model.

    MMEngine would load what fits and leave the rest at random.

    Args:
        runner (Runner): The runner of the training process.
        checkpoint (dict): What is going to be loaded.
        how (str): How such a training can be resumed, for the error.

    Raises:
        ValueError: If names or shapes of parameters differ.
    """
    model = (runner.model.module if is_model_wrapper(runner.model)
             else runner.model)
    ours, theirs = ({key: tuple(value.shape) for key, value in state.items()}
                    for state in (model.state_dict(),
                                  checkpoint['state_dict']))
    differing = [key for key in {**ours, **theirs}
                 if ours.get(key) != theirs.get(key)]
    if differing:
        first = '\n'.join(
            f'  {key}: {theirs.get(key, "absent")} in the checkpoint, '
            f'{ours.get(key, "absent")} in the model'
            for key in differing[:5])
        raise ValueError(
            'the checkpoint to resume from is of another model: '
            f'{len(differing)} of its parameters differ, first\n{first}\n'
            f'A training resumes {how}. Set another work_dir to begin anew, '
            'or load_from and no --resume to start from those that fit')
