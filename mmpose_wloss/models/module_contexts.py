"""Stock modules, watched or set otherwise for a while.

:func:`recorded` is how this package looks into stock heads. They compute losses
and predictions in one call and keep their outputs to themselves, and they call
``self.forward(...)`` rather than ``self(...)``, which passes by torch's forward
hooks. So a method of the instance stands in for that of its class, and goes when
the context ends: neither the class nor the state dict ever changes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


def unchanged(value):
    """The value."""
    return value


@contextmanager
def recorded(module: nn.Module, method: str, keep: Callable = unchanged,
             change: Callable = unchanged) -> Iterator[list]:
    """What goes in and out of a method of a module, call by call.

    Args:
        module (nn.Module): The module.
        method (str): Name of the method.
        keep (Callable): What to keep of the tuple of arguments, all by default.
        change (Callable): What is done to each result before it is returned,
            nothing by default.

    Yields:
        list: Grows by ``(arguments, result)`` with each call.
    """
    calls, stock = [], getattr(module, method)
    replaced = method in vars(module)

    def call(*args, **kwargs):
        kept = keep(args)
        result = change(stock(*args, **kwargs))
        calls.append((kept, result))
        return result

    setattr(module, method, call)
    try:
        yield calls
    finally:
        restore(module, method, stock if replaced else None)


# compiled, the class's method would go with that of the instance
@torch.compiler.disable
def restore(module: nn.Module, method: str, before: Callable | None) -> None:
    """Give a module its own method again, or else that of its class."""
    delattr(module, method)
    if before is not None:
        setattr(module, method, before)


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then each part's own mode again."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
