"""What exists because of a version or a missing piece of the stack.

Here and nowhere else, one small file each. :func:`prepare_stack` checks what
is installed, stands in for what is missing and lets checkpoints be loaded. It
runs when ``mmpose_wloss`` is imported, which has to happen before ``mmpose``
is: a stand-in serves only imports that come after it.

Importing this package alone needs the standard library and ``packaging``, so
that it can say what an incomplete stack lacks.
"""

from .requirements import StackError, check_stack
from .safe_loading import add_safe_globals, keep_weights_only
from .stand_ins import add_stand_ins

__all__ = ['StackError', 'add_safe_globals', 'add_stand_ins', 'check_stack',
           'keep_weights_only', 'prepare_stack']


def prepare_stack() -> None:
    """Make the installed stack one beside which ``mmpose_wloss`` runs.

    Raises:
        StackError: If a package is missing or of a version that does not fit.
    """
    check_stack()
    add_stand_ins()
    add_safe_globals()
    keep_weights_only()

    # what follows imports mmpose
    from .numpy_scalars import let_keypoints_be_drawn

    let_keypoints_be_drawn()
