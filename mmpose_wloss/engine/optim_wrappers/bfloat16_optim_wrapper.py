import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from mmpose.models.heads.base_head import BaseHead
from mmpose.registry import OPTIM_WRAPPERS
from torch import nn

from ...compat.bfloat16_speed import bfloat16_over_float32
from ...models.heads.keypoint_outputs import at_least_float32
from ...models.module_contexts import recorded


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Trains under autocast in bfloat16, on a CPU too, where MMEngine's refuses.

    Bfloat16 has float32's range, so the loss needs no scaling. Heads give their
    outputs in float32, so that losses are computed in it, and accuracies too: NumPy,
    by which stock heads compute them, knows no bfloat16. Its arguments are those of
    ``OptimWrapper``.

    On a CPU that is slower in bfloat16 (:func:`bfloat16_over_float32`), it trains
    in float32 and warns.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no synchronization while gradients accumulate."""
        with ExitStack() as stack:
            stack.enter_context(super().optim_context(model))
            if next(model.parameters()).is_cpu and not pays_on_cpu():
                yield
                return
            stack.enter_context(autocast(dtype=torch.bfloat16))
            for module in model.modules():
                if isinstance(module, BaseHead):
                    stack.enter_context(recorded(
                        module, 'forward', change=at_least_float32))
            yield


@cache
def pays_on_cpu() -> bool:
    """Whether this CPU is faster in bfloat16; where not, a warning says so once."""
    ratio = bfloat16_over_float32()
    if ratio < 1:
        return True
    print_log(
        f'this CPU takes {ratio:.1f} times as long in bfloat16 as in float32: '
        'Bfloat16OptimWrapper trains in float32', 'current', logging.WARNING)
    return False
