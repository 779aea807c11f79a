"""What a caller can mend."""

import math


class RenderError(ValueError):
    """An argument or a folder does not fit; the message names it."""


class MissingAnnyError(RenderError, ImportError):
    """The package of the body model is not installed."""


def check_range(low: float, high: float, **arguments: float) -> None:
    """Check that numbers are from ``low`` to ``high``, both included.

    Raises:
        RenderError: If one is not, or is NaN.
    """
    for name, value in arguments.items():
        if not low <= value <= high:
            needed = (f'at least {low:g}' if high == math.inf else
                      f'from {low:g} to {high:g}')
            raise RenderError(f'{name} must be {needed}, got {value}')
