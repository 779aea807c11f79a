"""ONNX files in 8-bit integers, calibrated on images."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch import Tensor

from .onnx_export import import_onnx, replaced_whole
from .onnx_network import OnnxNetwork, import_onnxruntime

IN_FLOAT = ('Add', 'BatchNormalization')


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

    The file takes and gives float32 as before, and says of itself what the
    other one does.

    Args:
        file (str): A file that :func:`export_onnx` wrote.
        out (str): The file to write, ``.onnx``.
        images (Iterable[Tensor]): Preprocessed images to calibrate on, each
            in shape [B, 3, H, W].

    Returns:
        Path: The file that was written.

    Raises:
        ImportError: If onnx or onnxruntime is not installed.
        ValueError: If there are no images, or if they do not fit.
    """
    onnx = import_onnx()
    import_onnxruntime()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    network, out = OnnxNetwork(file), Path(out)
    if out.suffix != '.onnx':
        raise ValueError(f'the file to write must end in .onnx, but it is {out}')
    with tempfile.TemporaryDirectory() as folder, _quiet(), \
            replaced_whole(out) as partial:
        prepared = str(Path(folder, 'prepared.onnx'))
        # norms go into the convolutions before them, which are then quantized
        # as one
        quant_pre_process(str(file), prepared, skip_symbolic_shape=True)
        sums = [node.name for node in onnx.load(prepared).graph.node
                if node.op_type in IN_FLOAT and node.name]
        quantize_static(
            prepared, str(partial), _calibration(network, images),
            quant_format=QuantFormat.QDQ, per_channel=True, reduce_range=True,
            nodes_to_exclude=sums,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        content = onnx.load(str(partial))
        onnx.helper.set_model_props(
            content, network.session.get_modelmeta().custom_metadata_map)
        onnx.save(content, str(partial))
    return out


def _calibration(network: OnnxNetwork, images: Iterable[Tensor]) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        """Gives the images one by one, as onnxruntime asks for them."""

        def __init__(self):
            self.images = _checked(network, images)

        def get_next(self) -> dict | None:
            image = next(self.images, None)
            return (None if image is None else
                    {network.input_name: image.contiguous().numpy()})

    return Reader()


def _checked(network: OnnxNetwork, images: Iterable[Tensor]) -> Iterator[Tensor]:
    count = 0
    for image in images:
        network.check_size(image)
        count += 1
        yield image
    if not count:
        raise ValueError('there is no image to calibrate on')


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
