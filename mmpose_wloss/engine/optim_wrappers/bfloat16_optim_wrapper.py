from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from mmpose.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Trains under autocast in bfloat16, on a CPU too, where MMEngine's refuses.

    Bfloat16 has float32's range, so the loss needs no scaling. Its arguments are
    those of ``OptimWrapper``.

    :class:`PoseCons` and :class:`PoseDual` train under it as they are. Stock heatmap
    heads by themselves compute an accuracy with NumPy, which knows no bfloat16,
    unless the model has ``train_cfg=dict(compute_acc=False)``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and no synchronization while gradients accumulate."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
