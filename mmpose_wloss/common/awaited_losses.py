"""Losses that a config names, told from misspelled ones."""

import logging
from collections.abc import Collection, Iterable

from mmengine.logging import print_log

from .errors import UserError

# training steps
PATIENCE = 100


class AwaitedLosses:
    """Names of which each must be returned in one of the first training steps.

    A loss may be missing in a batch, as one without people. A misspelled name is
    missing in all of them.

    Args:
        names (Iterable[str]): The names.
        owner (str): Whose config names them.
    """

    def __init__(self, names: Iterable[str], owner: str):
        self.names = set(names)
        self.owner = owner
        self.steps = 0

    def look_for(self, returned: Collection[str], source: str,
                 learning: bool = True) -> None:
        """Look for those not seen yet; warn in the first step that lacks some.

        Args:
            returned (Collection[str]): Names of what was returned.
            source (str): What returned it.
            learning (bool): Whether this is a training step, which counts.

        Raises:
            UserError: If one was returned in none of 100 training steps.
        """
        self.names.difference_update(returned)
        if not self.names or not learning:
            return
        self.steps += 1
        message = (f'{self.owner} looks for {sorted(self.names)}, but a {source} '
                   f'returns {sorted(returned)}')
        if self.steps >= PATIENCE:
            raise UserError(f'{message}, and so in {PATIENCE} training steps: is it a '
                            'typo?')
        if self.steps == 1:
            print_log(f'{message}; it counts as a loss of a batch without people, but '
                      f'is an error after {PATIENCE} training steps', 'current',
                      logging.WARNING)
