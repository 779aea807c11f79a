from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from mmpose.models.heads.base_head import BaseHead
from mmpose.registry import OPTIM_WRAPPERS
from torch import nn

from ...models.heads.keypoint_outputs import at_least_float32
from ...models.module_contexts import recorded


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Trains under autocast in bfloat16, on a CPU too, where MMEngine's refuses.

    Bfloat16 has float32's range, so the loss needs no scaling. Heads give their
    outputs in float32, so that losses are computed in it, and accuracies too: NumPy,
    by which stock heads compute them, knows no bfloat16. Its arguments are those of
    ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no synchronization while gradients accumulate."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16), \
                ExitStack() as stack:
            for module in model.modules():
                if isinstance(module, BaseHead):
                    stack.enter_context(recorded(
                        module, 'forward', change=at_least_float32))
            yield
