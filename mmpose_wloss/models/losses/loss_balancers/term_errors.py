"""How far a term of a loss is off, where that is visible."""

from typing import Any

import torch
from torch import Tensor

# prediction, target and weight
Pair = tuple[Tensor, Tensor, Tensor | None]


class PairError:
    """Error of a prediction, without that of elements of weight 0.

    Args:
        name (str): Name of the term, for errors.
        prediction (Tensor): In shape [B, …].
        target (Tensor): In the same shape.
        weight (Tensor, optional): In a shape that the prediction's begins
            with, e.g. [B] or [B, K] for volumes in shape [B, K, D, H, W].
            Elements of weight 0 do not count, whatever they hold, NaN
            included. Defaults to ``None``: all 1.

    Raises:
        ValueError: If shapes do not fit.
    """

    def __init__(self,
                 name: str,
                 prediction: Tensor,
                 target: Tensor,
                 weight: Tensor | None = None) -> None:
        shape = tuple(prediction.shape)
        if not shape or target.shape != shape:
            raise ValueError(
                f'prediction and target of the term {name!r} must have the '
                f'same shape [B, …], but the prediction is {shape} and the '
                f'target {tuple(target.shape)}')
        # the square of a half precision difference underflows
        dtype = torch.promote_types(prediction.dtype, torch.float32)
        self.error = prediction - target.to(dtype)
        self.weight = weight
        self.batch = max(shape[0], 1)
        if weight is None:
            self.count: Tensor | int = self.error.numel()
            return
        if not weight.ndim or tuple(weight.shape) != shape[:weight.ndim]:
            raise ValueError(
                f'the weight of the term {name!r} must have a shape that the '
                f"prediction's, {shape}, begins with, but it is "
                f'{tuple(weight.shape)}')
        self.weight = weight.to(dtype)
        # so that a weight of NaN is not taken for one of 0
        visible = weight != 0
        trailing = shape[weight.ndim:]
        self.count = visible.sum() * torch.Size(trailing).numel()
        # past autograd: an error of 0 has a gradient of 0, and another
        # volume is not filled on the way back
        self.error.detach().masked_fill_(
            ~visible.reshape(*weight.shape, *[1] * len(trailing)), 0)

    def squares(self) -> Tensor:
        """The weighted sum of squared errors, a scalar with gradient."""
        if self.weight is None:
            return _SumOfSquares.apply(self.error, 0)
        return (self.weight *
                _SumOfSquares.apply(self.error, self.weight.ndim)).sum()

    def magnitude(self) -> Tensor:
        """The sum of absolute errors, a scalar without gradient."""
        return self.error.detach().abs().sum()


class _SumOfSquares(torch.autograd.Function):
    """Squares, summed over all but the leading dimensions.

    On the way back it fills one tensor of the error's size, its gradient;
    ``square().sum()`` fills three.
    """

    @staticmethod
    def forward(ctx: Any, error: Tensor, leading: int) -> Tensor:
        ctx.save_for_backward(error)
        squares = error.square()
        trailing = tuple(range(leading, error.ndim))
        # over no dimension, torch sums over all
        return squares.sum(trailing) if trailing else squares

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        error, = ctx.saved_tensors
        factor = (2 * gradient).reshape(
            *gradient.shape, *[1] * (error.ndim - gradient.ndim))
        return factor * error, None


def scalar_loss(name: str, loss: Tensor) -> Tensor:
    """A loss of at least float32, in shape [].

    Args:
        name (str): Name of the term, for errors.
        loss (Tensor): Of one element.

    Raises:
        ValueError: If it is no single number.
    """
    if loss.numel() != 1:
        raise ValueError(
            f'the loss of the term {name!r} must be a single number, but its '
            f'shape is {tuple(loss.shape)}: give its prediction, target and '
            'weight as a tuple, or reduce it')
    return loss.reshape(()).to(torch.promote_types(loss.dtype, torch.float32))
