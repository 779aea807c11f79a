"""``torch.compile`` of MMEngine's training step (``compile=True``)."""

import torch
import torch._dynamo
from mmengine.model import ImgDataPreprocessor

# torch.compiler has it from torch 2.2 on
is_compiling = torch._dynamo.is_compiling


def keep_preprocessing_eager() -> None:
    """Keep the compiler away from what brings a batch to the device.

    Samples are copied there, deep copies of NumPy arrays included, which it
    does not break a graph at but ends with an error. It can go when
    ``compile=True`` trains a stock pose estimator of mmpose.
    """
    ImgDataPreprocessor.forward = torch.compiler.disable(
        ImgDataPreprocessor.forward)
