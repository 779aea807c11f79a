"""ONNX files in 8-bit integers, calibrated on images."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..common.errors import UserError
from ..common.files import replaced_whole
from ..models.module_contexts import evaluation
from .export import OutputNetwork
from .network import OnnxNetwork, import_package

IN_FLOAT = ('Add', 'BatchNormalization')
# seconds after which a progress bar shows
DELAY = 5


def quantize_onnx(file: str, out: str, images: Iterable[Tensor]) -> Path:
    r"""Write the network of an ONNX file with 8-bit weights and activations.

    A value :math:`x` becomes :math:`q = \mathrm{round}(x / s) + z`, cut to 8
    bits. Weights have :math:`z = 0` and a scale for each output channel.
    Activations have the scale and the :math:`z` by which the smallest and the
    largest value on the calibration images just fit. Weights keep to 7 bits:
    processors without VNNI add products in 16 bits, which 8 would overflow.
    Sums, such as those of residual connections, and norms that no convolution
    could take in, stay in float32: sums grow from one to the next, and 8 bits
    are too few for their whole range.

    The file takes and gives float32 as before, and has the same metadata.

    Args:
        file (str): A file that :func:`export_onnx` wrote.
        out (str): The file to write, ``.onnx``.
        images (Iterable[Tensor]): Preprocessed images to calibrate on, each in shape
            [B, 3, H, W].

    Returns:
        Path: The file that was written.

    Raises:
        UserError: If a package is not installed, or images are absent or do not fit.
    """
    onnx = import_package('onnx')
    network, out = OnnxNetwork(file), Path(out)
    if out.suffix != '.onnx':
        raise UserError(f'the file to write must end in .onnx, but it is {out}')
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    images = list(images)
    if not images:
        raise UserError('there is no image to calibrate on')
    for image in images:
        network.check_size(image)
    inputs = ({network.input_name: image.contiguous().numpy()}
              for image in tqdm(images, 'calibrating', unit='image', delay=DELAY))
    with tempfile.TemporaryDirectory() as folder, _quiet(), \
            replaced_whole(out) as partial:
        prepared = str(Path(folder, 'prepared.onnx'))
        # norms go into the convolutions before them, which are then quantized
        # as one
        quant_pre_process(str(file), prepared, skip_symbolic_shape=True)
        sums = [node.name for node in onnx.load(prepared).graph.node
                if node.op_type in IN_FLOAT and node.name]
        quantize_static(
            prepared, str(partial),
            SimpleNamespace(get_next=lambda: next(inputs, None)),
            quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            nodes_to_exclude=sums,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        content = onnx.load(str(partial))
        onnx.helper.set_model_props(content, network.metadata)
        onnx.save(content, str(partial))
    return out


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what onnxruntime prints and logs by the root logger."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(disabled)


@torch.no_grad()
def joint_distance(model: nn.Module, file: str,
                   images: Sequence[Tensor]) -> float:
    """Median distance of an ONNX file's joints from PyTorch's, in pixels of the input.

    Args:
        model (nn.Module): The model that was exported.
        file (str): The ONNX file.
        images (Sequence[Tensor]): Preprocessed images, each in shape [1, 3, H, W].
    """
    with evaluation(model):
        one, other = (
            np.concatenate([people.keypoints[..., :2]
                            for image in tqdm(images, 'comparing', unit='image',
                                              delay=DELAY)
                            for people in model.head.decode(network(image))])
            for network in (OutputNetwork(model), OnnxNetwork(file)))
    return float(np.median(np.linalg.norm(one - other, axis=-1)))
