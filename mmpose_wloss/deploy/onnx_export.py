"""Pose estimators as ONNX files, checked against PyTorch."""

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmpose.apis.inference import dataset_meta_from_config
from torch import Tensor, nn

from ..compat.onnx_export import torchscript_onnx_options
from ..models.heads.keypoint_outputs import describe
from ..models.wrapped_networks import load_network
from ..version import __version__
from .onnx_images import NetworkImages, input_size
from .onnx_network import (
    FORMAT_VERSION,
    HEATMAPS,
    SIMCC,
    OnnxNetwork,
    import_onnxruntime,
    network_description,
)

OPSET = 17
# the outputs of PyTorch and of onnxruntime may differ so much, in units of a
# heatmap, or of the largest output where that is above 1
TOLERANCE = 1e-4
CHECKED_IMAGES = 8


class OnnxExport(NamedTuple):
    """What an export wrote, and how it compares with PyTorch.

    Attributes:
        file (Path): The ONNX file.
        difference (float): Largest absolute difference from the outputs of
            PyTorch, over the largest output where that is above 1.
        images (int): How many images it was checked on.
        source (str): Where they come from, in words.
    """
    file: Path
    difference: float
    images: int
    source: str


class Network(nn.Module):
    """A pose estimator from preprocessed images to what its head decodes.

    Args:
        model (nn.Module): A stock top-down estimator of heatmaps or of SimCC
            vectors.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Heatmaps, of the last stage where there are several, or SimCC."""
        output = self.model.head.forward(self.model.extract_feat(images))
        return output[-1] if isinstance(output, list) else output


def export_onnx(config: str | Config, checkpoint: str, out: str, *,
                name: str | None = None, images: str | None = None,
                checked_images: int = CHECKED_IMAGES) -> OnnxExport:
    """Write the network of a checkpoint as an ONNX file.

    Args:
        config (str | Config): Config of a top-down model that predicts
            heatmaps or SimCC vectors, or of a training that has one.
        checkpoint (str): Its checkpoint.
        out (str): The file to write, ``.onnx``.
        name (str, optional): Which network of a training that has several.
            Defaults to ``None``.
        images (str, optional): Folder of images to check it on. Defaults to
            ``None``: crops of the test set where its files are there, else
            noise.
        checked_images (int): How many to check it on. Defaults to 8.

    Returns:
        OnnxExport: The file, and how far it is from PyTorch.

    Raises:
        FileNotFoundError: If a file is not there.
        ImportError: If onnx or onnxruntime is not installed.
        RuntimeError: If outputs differ by more than 1e-4; an old file stays.
        TypeError: If the model predicts neither heatmaps nor SimCC vectors.
    """
    import_onnx()
    import_onnxruntime()
    model, config = load_network(config, checkpoint, name)
    return export_model(model, config, out, images=images,
                        checked_images=checked_images)


def export_model(model: nn.Module, config: Config, out: str, *,
                 images: str | None = None,
                 checked_images: int = CHECKED_IMAGES) -> OnnxExport:
    """Write a model as an ONNX file, as :func:`export_onnx` does.

    The file takes preprocessed images of one size, in batches of any, and
    gives ``heatmaps``, or ``simcc_x`` and ``simcc_y``. It says which network
    it holds.

    Args:
        model (nn.Module): A stock top-down estimator.
        config (Config): Its config.
        out (str): The file to write, ``.onnx``.
        images (str, optional): As of :func:`export_onnx`.
        checked_images (int): As of :func:`export_onnx`.

    Returns:
        OnnxExport: The file, and how far it is from PyTorch.
    """
    onnx = import_onnx()
    import_onnxruntime()
    out = Path(out)
    if out.suffix != '.onnx':
        raise ValueError(f'--out must end in .onnx, but it is {out}')
    check_images = NetworkImages(config, model, images)
    batch = torch.cat(list(check_images.spread(max(checked_images, 2))))
    network, training = Network(model), model.training
    network.eval()
    try:
        with torch.no_grad():
            output = model(batch, None)
            multi_stage = isinstance(output, list)
            expected = as_tuple(output[-1] if multi_stage else output)
            names = output_names(model, expected)
            with replaced_whole(out) as partial:
                _trace(network, batch[:2], names, partial)
                shapes = [tuple(output.shape[1:]) for output in expected]
                _describe(onnx, partial, config, model, multi_stage, shapes)
                difference = _difference(partial, batch, expected)
    finally:
        network.train(training)
    return OnnxExport(out, difference, len(batch), check_images.source)


def import_onnx() -> ModuleType:
    """The package that reads and writes ONNX files.

    Raises:
        ImportError: If it is not installed; names the command.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            'onnx, which writes ONNX files, is not installed. Install it '
            'with: pip install "onnx>=1.15" "onnxruntime>=1.17"') from error
    return onnx


@contextlib.contextmanager
def replaced_whole(out: Path) -> Iterator[Path]:
    """A file to write in place of another, which replaces it at the end.

    Args:
        out (Path): The file to replace. If something fails it stays as it is.

    Yields:
        Path: The file to write.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f'{out.stem}.partial{out.suffix}')
    try:
        yield partial
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Outputs as a tuple, also where there is one."""
    return outputs if isinstance(outputs, tuple) else (outputs, )


def output_names(model: nn.Module, outputs: tuple) -> tuple[str, ...]:
    """What the outputs of a model are.

    Raises:
        TypeError: If they are neither heatmaps nor SimCC vectors.
    """
    ranks = [output.ndim if isinstance(output, Tensor) else None
             for output in outputs]
    if ranks == [4]:
        return HEATMAPS
    if ranks == [3, 3]:
        return SIMCC
    raise TypeError(
        f'the head {type(model.head).__name__} gives {describe(outputs)}: '
        'only heatmaps and SimCC vectors can be exported to ONNX')


def _trace(network: nn.Module, images: Tensor, names: tuple[str, ...],
           file: Path) -> None:
    with warnings.catch_warnings():
        # of checks on sizes, which the file has for good
        warnings.simplefilter('ignore')
        torch.onnx.export(
            network, (images, ), str(file), input_names=['images'],
            output_names=list(names), opset_version=OPSET,
            dynamic_axes={name: {0: 'batch'} for name in ('images', *names)},
            **torchscript_onnx_options())


def _describe(onnx: ModuleType, file: Path, config: Config,
              model: nn.Module, multi_stage: bool,
              shapes: Sequence[tuple[int, ...]]) -> None:
    """Let an ONNX file say which network it holds, and its outputs' sizes."""
    content = onnx.load(str(file))
    onnx.helper.set_model_props(content, dict(
        mmpose_wloss_format=str(FORMAT_VERSION),
        mmpose_wloss_version=__version__,
        network=json.dumps(network_description(config.model)),
        input_size=json.dumps(input_size(model)),
        multi_stage=json.dumps(multi_stage),
        dataset=json.dumps(described_dataset(config))))
    for output, shape in zip(content.graph.output, shapes, strict=True):
        # tracing leaves some of them open
        for dim, size in zip(output.type.tensor_type.shape.dim[1:], shape,
                             strict=True):
            dim.dim_value = size
    onnx.checker.check_model(content)
    onnx.save(content, str(file))


def described_dataset(config: Config) -> dict:
    """What a config's data set is called, and what its joints are.

    Args:
        config (Config): Config of a stock model.

    Returns:
        dict: ``name``, ``keypoint_names``, ``flip_indices`` and
        ``skeleton_links``; empty if the config names no data set.
    """
    meta = dataset_meta_from_config(config, 'test')
    if meta is None:
        return {}
    return dict(
        name=meta['dataset_name'],
        keypoint_names=[meta['keypoint_id2name'][index]
                        for index in range(meta['num_keypoints'])],
        flip_indices=[int(index) for index in meta['flip_indices']],
        skeleton_links=[[int(end) for end in link]
                        for link in meta['skeleton_links']])


def _difference(file: Path, images: Tensor,
                expected: tuple[Tensor, ...]) -> float:
    """How far a file's outputs are from PyTorch's, one by one and batched.

    Raises:
        RuntimeError: If they are too far.
    """
    network = OnnxNetwork(file)
    differences = []
    for part in (images, images[:1]):
        for ours, theirs in zip(as_tuple(network(part)), expected,
                                strict=True):
            theirs = theirs[:len(part)]
            scale = max(1., float(theirs.abs().max()))
            differences.append(float((ours - theirs).abs().max()) / scale)
    difference = max(differences)
    # not a number is no small difference
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f'the ONNX file gives other outputs than PyTorch: they differ by '
            f'{difference:.2g} on {len(images)} images, where {TOLERANCE:.0e} '
            'is allowed. Nothing was written')
    return difference
