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
        with_magnitude (bool): Whether :meth:`squares` also sets
            ``magnitude``, the sum of absolute errors, a scalar without
            gradient. Defaults to ``False``.

    Raises:
        ValueError: If shapes do not fit.
    """

    def __init__(self,
                 name: str,
                 prediction: Tensor,
                 target: Tensor,
                 weight: Tensor | None = None,
                 with_magnitude: bool = False) -> None:
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
        self.with_magnitude = with_magnitude
        self.magnitude: Tensor | None = None
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
        squares, self.magnitude = _SumOfSquares.apply(
            self.error, self.weight, self.with_magnitude)
        return squares


class _SumOfSquares(torch.autograd.Function):
    """Weighted sum of squares, and if wanted the sum of absolute values.

    Beside the error it fills one tensor of its size, and on the way back one,
    the gradient; ``(weight * error.square()).sum()`` fills up to five. For
    volumes, memory is what costs time too.
    """

    @staticmethod
    def forward(ctx: Any, error: Tensor, weight: Tensor | None,
                with_magnitude: bool) -> tuple[Tensor, Tensor | None]:
        ctx.save_for_backward(error, weight)
        squares = error.square()
        if weight is None:
            total = squares.sum()
        elif weight.ndim == error.ndim:
            total = squares.mul_(weight).sum()
        else:
            total = (weight * squares.flatten(weight.ndim).sum(-1)).sum()
        magnitude = None
        if with_magnitude:
            magnitude = torch.abs(error, out=squares).sum()
            ctx.mark_non_differentiable(magnitude)
        return total, magnitude

    @staticmethod
    def backward(ctx: Any, gradient: Tensor,
                 *_) -> tuple[Tensor, None, None]:
        error, weight = ctx.saved_tensors
        factor = 2 * gradient
        if weight is not None:
            factor = (factor * weight).reshape(
                *weight.shape, *[1] * (error.ndim - weight.ndim))
        return factor * error, None, None


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
