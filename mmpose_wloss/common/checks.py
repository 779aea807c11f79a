"""Checks of arguments, given by name: ``positive(gamma=gamma, delta=delta)``.

Each raises a :class:`UserError` that names the argument, its range and its
value. ``NaN`` is in no range.
"""

import math
from collections.abc import Collection
from typing import Any

from .errors import UserError


def _check(condition: bool, name: str, needed: str, value: Any) -> None:
    if not condition:
        raise UserError(f'{name} must be {needed}, but it is {value!r}')


def _is_number(value: Any) -> bool:
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and math.isfinite(value))


def positive(**arguments: float) -> None:
    """Check that numbers are finite and above 0."""
    for name, value in arguments.items():
        _check(_is_number(value) and value > 0, name, 'a number above 0', value)


def non_negative(**arguments: float) -> None:
    """Check that numbers are finite and at least 0."""
    for name, value in arguments.items():
        _check(_is_number(value) and value >= 0, name,
               'a number of at least 0', value)


def within(low: float, high: float, /, **arguments: float) -> None:
    """Check that numbers are from ``low`` to ``high``, both included."""
    for name, value in arguments.items():
        _check(_is_number(value) and low <= value <= high, name,
               f'a number from {low} to {high}', value)


def whole(minimum: int = 1, /, **arguments: int) -> None:
    """Check that numbers are whole and at least ``minimum``."""
    for name, value in arguments.items():
        _check(isinstance(value, int) and not isinstance(value, bool)
               and value >= minimum, name,
               f'a whole number of at least {minimum}', value)


def interval(low: float = -math.inf, high: float = math.inf, /,
             **arguments: tuple[float, float]) -> None:
    """Check that arguments are ordered pairs of numbers within a range."""
    for name, value in arguments.items():
        fits = (isinstance(value, (tuple, list)) and len(value) == 2
                and all(map(_is_number, value))
                and low <= value[0] <= value[1] <= high)
        _check(fits, name, f'two numbers in order, from {low} to {high}', value)


def one_of(choices: Collection, /, **arguments: Any) -> None:
    """Check that arguments are among the choices."""
    for name, value in arguments.items():
        _check(value in choices, name,
               f'one of {", ".join(map(repr, choices))}', value)


def same_shape(**arguments: Any) -> None:
    """Check that arrays or tensors have one shape."""
    shapes = {name: tuple(each.shape) for name, each in arguments.items()}
    if len(set(shapes.values())) > 1:
        raise UserError(f'{" and ".join(shapes)} must have the same shape, but '
                        f'have {" and ".join(map(str, shapes.values()))}')
