"""Outputs of heads: tensors, lists of stages, pairs; what is done to each tensor."""

from collections.abc import Callable, Sequence

import torch
from mmengine.structures import PixelData
from torch import Tensor

# heatmaps or coordinates, those of several stages, or a pair (x, y)
Output = Tensor | list[Tensor] | tuple[Tensor, Tensor]


def mapped(function: Callable, *outputs: Output) -> Output:
    """A function of outputs of the same structure, tensor by tensor."""
    if isinstance(outputs[0], Tensor):
        return function(*outputs)
    return type(outputs[0])(
        mapped(function, *parts) for parts in zip(*outputs, strict=True))


def at_least_float32(output: Output) -> Output:
    """A head's output without half precision, in lists and tuples too."""
    if isinstance(output, (list, tuple)):
        return type(output)(map(at_least_float32, output))
    half = (isinstance(output, Tensor)
            and output.dtype in (torch.float16, torch.bfloat16))
    return output.float() if half else output


def scaled(losses: dict, factor: float) -> dict:
    """A head's results, of which losses, or lists of them, are scaled."""
    return {key: value if 'loss' not in key
            else [factor * part for part in value] if isinstance(value, list)
            else factor * value for key, value in losses.items()}


def cloned(output: Output) -> Output:
    """A copy, as some codecs decode in place."""
    return mapped(torch.clone, output)


def average(outputs: Sequence[Output]) -> Output:
    """The mean of outputs of the same structure."""
    return mapped(lambda *parts: torch.stack(parts).mean(dim=0), *outputs)


def select(outputs: Sequence[Output], which: Tensor) -> Output:
    """For each joint one of several outputs of the same structure, of one stage.

    Args:
        outputs (Sequence[Output]): In shape [B, K, …], or [B, 3 K, …] with offsets, or
            pairs of SimCC vectors.
        which (Tensor): Index of the output, in shape [B, K].
    """

    def of_joints(*parts: Tensor) -> Tensor:
        parts = torch.stack(parts)
        maps = which.repeat_interleave(parts.shape[2] // which.shape[1], dim=1)
        index = maps.view(1, *maps.shape, *[1] * (parts.ndim - 3))
        return parts.gather(0, index.expand(1, *parts.shape[1:]))[0]

    return mapped(of_joints, *outputs)


def average_fields(fields: Sequence[Sequence[PixelData | None]]
                   ) -> list[PixelData] | None:
    """The mean of the heatmaps that networks give with their predictions."""
    if fields[0][0] is None:
        return None
    return [PixelData(heatmaps=average([each.heatmaps for each in sample]))
            for sample in zip(*fields, strict=True)]


def describe(output) -> str:
    """Types and shapes of a head's output, for an error message."""
    if isinstance(output, Tensor):
        return f'a tensor of shape {list(output.shape)}'
    kind = f'a {type(output).__name__}'
    if isinstance(output, (list, tuple)):
        return f'{kind} of {", ".join(map(describe, output))}'
    return kind
