"""``torch.compile`` of MMEngine's training step (``compile=True``)."""

import torch
import torch._dynamo
from mmengine.model import ImgDataPreprocessor
from mmengine.optim import OptimWrapper

# torch 2.1's torch.compiler has none
is_compiling = torch._dynamo.is_compiling


def compile_networks_alone() -> None:
    """Leave both ends of a training step as they are: batch and optimizer.

    Samples are copied to the device, deep copies of NumPy arrays included, at
    which the compiler does not break a graph but ends with an error. This can
    go when ``compile=True`` trains a stock pose estimator of mmpose.

    An optimizer takes longer to compile than a network does, and twice, since
    its learning rate changes. This can go when it no longer does.
    """
    for owner, name in ((ImgDataPreprocessor, 'forward'),
                        (OptimWrapper, 'update_params')):
        setattr(owner, name, torch.compiler.disable(getattr(owner, name)))
