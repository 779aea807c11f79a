import re

from mmengine.hooks import Hook
from mmpose.registry import HOOKS

from ...common.errors import UserError
from ...common.hooks import model_of

SHOWN = 5
# a line of torch's error
SHAPES = re.compile(r'size mismatch for ([^:\s]+):.*')


@HOOKS.register_module()
class WholeCheckpointHook(Hook):
    """Refuse a checkpoint that lacks parameters of the model.

    MMEngine loads what fits, and evaluates or resumes with random numbers for the
    rest. What a checkpoint holds beside the model is left out, as MMEngine does.
    ``test`` and ``train`` of the command line add it.

    Args:
        source (str): What the error calls the checkpoint.
        part (bool): Whether a part is enough, as for ``load_from``: then only a
            checkpoint of which no parameter fits is refused.
    """

    # others may prepare the checkpoint
    priority = 'LOWEST'

    def __init__(self, source: str = 'the checkpoint', part: bool = False):
        self.source = source
        self.part = part

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Load it once before MMEngine does.

        Raises:
            UserError: If parameters are missing or have other shapes; with ``part``,
                if all do.
        """
        model, state = model_of(runner), checkpoint.get('state_dict', checkpoint)
        state = {key.removeprefix('module.'): value for key, value in state.items()}
        missing, differing = set(), {}
        handle = model.register_load_state_dict_post_hook(
            lambda _, keys: missing.update(keys.missing_keys))
        try:
            model.load_state_dict(state, strict=False)
        except RuntimeError as error:
            differing = {line[1]: line[0].rstrip('.')
                         for line in SHAPES.finditer(str(error))}
            if not differing:
                raise
        finally:
            handle.remove()
        # buffers are not among them: checkpoints of old versions lack some
        names = [name for name, _ in model.named_parameters()]
        lacking = [*differing.values(), *(name for name in names if name in missing)]
        if lacking and (not self.part or missing.union(differing).issuperset(names)):
            raise UserError(
                f'{self.source} is of another model: it does not fit '
                f'{len(lacking)} parameters, first '
                f'{"; ".join(lacking[:SHOWN])}. Give the config that it was trained '
                'with, or another checkpoint')
