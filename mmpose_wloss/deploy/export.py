"""Pose estimators as ONNX files, checked against PyTorch."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmpose.apis.inference import dataset_meta_from_config
from torch import Tensor, nn

from ..common.errors import UserError
from ..common.files import replaced_whole
from ..compat.onnx_export import torchscript_onnx_options
from ..models.heads.keypoint_outputs import describe
from ..models.module_contexts import evaluation
from ..version import __version__
from .images import input_size, network_images
from .network import (
    FORMAT_VERSION,
    HEATMAPS,
    SIMCC,
    OnnxNetwork,
    import_package,
    network_description,
)

OPSET = 17
# the outputs of PyTorch and of onnxruntime may differ so much, in units of a
# heatmap, or of the largest output where that is above 1
TOLERANCE = 1e-4
CHECKED_IMAGES = 8


class UnsupportedOutputs(UserError):
    """A model that predicts neither heatmaps nor SimCC vectors."""


class OnnxExport(NamedTuple):
    """What an export wrote, and how it compares with PyTorch.

    ``difference`` is the largest absolute one from the outputs of PyTorch, over the
    largest output where that is above 1, on so many ``images`` of a ``source``.
    """

    file: Path
    difference: float
    images: int
    source: str


class OutputNetwork(nn.Module):
    """A stock pose estimator, from preprocessed images to what its head decodes."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Heatmaps, of the last stage where there are several, or SimCC."""
        output = self.model.head.forward(self.model.extract_feat(images))
        return output[-1] if isinstance(output, list) else output


def export_onnx(model: nn.Module, config: Config, out: str,
                images: str | None = None) -> OnnxExport:
    """Write a model, such as :func:`load_network` gives, as an ONNX file.

    The file takes preprocessed images of one size, in batches of any, and gives
    ``heatmaps``, or ``simcc_x`` and ``simcc_y``. It says which network it holds.

    Args:
        model (nn.Module): A stock top-down estimator.
        config (Config): Its config.
        out (str): The file to write, ``.onnx``.
        images (str, optional): Folder of images to check it on; ``None``: crops of the
            test set where its files are there, else noise.

    Raises:
        UnsupportedOutputs: If the model predicts neither heatmaps nor SimCC vectors.
        UserError: If outputs differ by more than 1e-4, where an old file stays, or if
            onnx or onnxruntime is not installed.
    """
    for package in ('onnx', 'onnxruntime'):
        import_package(package)
    out = Path(out)
    if out.suffix != '.onnx':
        raise UserError(f'the file to write must end in .onnx, but it is {out}')
    batch, source = network_images(config, model, CHECKED_IMAGES, images)
    batch = torch.cat(batch)
    with evaluation(model), torch.no_grad():
        output = model(batch, None)
        multi_stage = isinstance(output, list)
        expected = as_tuple(output[-1] if multi_stage else output)
        names = output_names(model, expected)
        with replaced_whole(out) as partial:
            # tracing unrolls a batch of 1
            _trace(OutputNetwork(model), batch[[0, -1]], names, partial)
            _describe(partial, [output.shape[1:] for output in expected], dict(
                mmpose_wloss_format=str(FORMAT_VERSION),
                mmpose_wloss_version=__version__,
                network=json.dumps(network_description(config.model)),
                input_size=json.dumps(input_size(model)),
                multi_stage=json.dumps(multi_stage),
                dataset=json.dumps(described_dataset(config))))
            difference = _difference(partial, batch, expected)
    return OnnxExport(out, difference, len(batch), source)


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Outputs as a tuple, also where there is one."""
    return outputs if isinstance(outputs, tuple) else (outputs, )


def output_names(model: nn.Module, outputs: tuple) -> tuple[str, ...]:
    """What the outputs of a model are: heatmaps or SimCC vectors."""
    ranks = [getattr(output, 'ndim', None) for output in outputs]
    if ranks == [4]:
        return HEATMAPS
    if ranks == [3, 3]:
        return SIMCC
    raise UnsupportedOutputs(
        f'the head {type(model.head).__name__} gives {describe(outputs)}: '
        'only heatmaps and SimCC vectors can be exported to ONNX')


def _trace(network: nn.Module, images: Tensor, names: tuple[str, ...],
           file: Path) -> None:
    with warnings.catch_warnings():
        # of checks on sizes, which the file has for good
        warnings.simplefilter('ignore')
        torch.onnx.export(
            network.eval(), (images, ), str(file), input_names=['images'],
            output_names=list(names), opset_version=OPSET,
            dynamic_axes={name: {0: 'batch'} for name in ('images', *names)},
            **torchscript_onnx_options())


def _describe(file: Path, shapes: Sequence[tuple[int, ...]],
              metadata: dict[str, str]) -> None:
    """Write metadata and the outputs' sizes into an ONNX file."""
    onnx = import_package('onnx')
    content = onnx.load(str(file))
    onnx.helper.set_model_props(content, metadata)
    for output, shape in zip(content.graph.output, shapes, strict=True):
        # tracing leaves some of them open
        for dim, size in zip(output.type.tensor_type.shape.dim[1:], shape, strict=True):
            dim.dim_value = size
    onnx.checker.check_model(content)
    onnx.save(content, str(file))


def described_dataset(config: Config) -> dict:
    """Name and joints of a config's data set, if it has one."""
    meta = dataset_meta_from_config(config, 'test')
    if meta is None:
        return {}
    return dict(
        name=meta['dataset_name'],
        keypoint_names=[meta['keypoint_id2name'][index]
                        for index in range(meta['num_keypoints'])],
        flip_indices=[int(index) for index in meta['flip_indices']],
        skeleton_links=[[int(end) for end in link] for link in meta['skeleton_links']])


def _difference(file: Path, images: Tensor, expected: tuple[Tensor, ...]) -> float:
    """How far a file's outputs are from PyTorch's, of one image and batched."""
    network = OnnxNetwork(file)
    differences = []
    for part in (images, images[:1]):
        for ours, theirs in zip(as_tuple(network(part)), expected, strict=True):
            theirs = theirs[:len(part)]
            scale = theirs.abs().max().double().clamp(min=1)
            differences.append((ours - theirs).abs().max().double() / scale)
    # not a number is no small difference
    difference = float(torch.stack(differences).max())
    if not difference <= TOLERANCE:
        raise UserError(f'outputs of the ONNX file differ by {difference:.2g} from '
                        f'those of PyTorch, where {TOLERANCE:.0e} is allowed. Nothing '
                        'was written')
    return difference
