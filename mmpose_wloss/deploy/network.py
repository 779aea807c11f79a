"""Networks in ONNX files, run by onnxruntime."""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..common.checks import one_of, whole
from ..common.errors import UserError
from ..common.files import existing_file

FORMAT_VERSION = 1
HEATMAPS = ('heatmaps', )
SIMCC = ('simcc_x', 'simcc_y')
# parts of a config that the outputs do not depend on
NOT_DESCRIBED = ('init_cfg', 'pretrained', 'loss', 'decoder',
                 'batch_augments', 'non_blocking')


def import_package(name: str) -> ModuleType:
    """Import a package that only ONNX files need, or say how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'{name}, which ONNX files need, is not installed. Install it '
            'with: pip install "onnx>=1.15" "onnxruntime>=1.17"') from error


def network_description(network: Mapping) -> dict[str, Any]:
    """What decides a network's outputs, except for its weights, as JSON values.

    These are backbone, neck, head and preprocessing of a model config, without losses,
    codec and initialization. A config must agree with what an ONNX file holds.
    """
    described = {key: _described(network[key]) for key in
                 ('data_preprocessor', 'backbone', 'neck', 'head')
                 if network.get(key)}
    # numbers as keys, and tuples, as a file has them
    return json.loads(json.dumps(described))


def _described(value: Any) -> Any:
    if isinstance(value, Mapping):
        described = {key: _described(inner) for key, inner in value.items()
                     if key not in NOT_DESCRIBED}
        if isinstance(described.get('type'), str):
            # with or without its scope, as a string or as a class
            described['type'] = described['type'].rpartition('.')[2]
        return described
    if isinstance(value, (list, tuple)):
        return [_described(inner) for inner in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value.__name__ if isinstance(value, type) else value


def _differences(one: Any, other: Any, key: str = 'network'
                 ) -> Iterator[tuple[str, Any, Any]]:
    """Where two values differ: the key, and what either has."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in {**one, **other}:
            yield from _differences(one.get(name), other.get(name), f'{key}.{name}')
    elif one != other:
        yield key, one, other


class OnnxNetwork(nn.Module):
    """The network in an ONNX file, run by onnxruntime.

    Args:
        file (str): A file that :func:`export_onnx` wrote.
        providers (Sequence[str], optional): onnxruntime's execution providers, the
            preferred one first; ``None``: the CPU.
        threads (int): Threads of an operation; 0: one for each core.

    Attributes:
        input_size (tuple[int]): Width and height of the input in pixels.
        output_names (tuple[str]): ``('heatmaps', )``, or ``('simcc_x', 'simcc_y')``.
        output_shapes (tuple[tuple[int]]): Their shapes, without the batch.
        multi_stage (bool): Whether the heatmaps are the last of a list of the head.
        description (dict): The network (:func:`network_description`).
        dataset (dict): Name, joint names, mirrored joints and skeleton of the data set,
            where the config named one; else empty.

    Raises:
        MissingFile: If there is no such file.
        UserError: If onnxruntime or a provider is not there, or the file is not ours.
    """

    def __init__(self, file: str, providers: Sequence[str] | None = None,
                 threads: int = 0):
        super().__init__()
        whole(0, threads=threads)
        self.file = str(existing_file(file, 'ONNX file'))
        onnxruntime = import_package('onnxruntime')
        providers = list(providers or ['CPUExecutionProvider'])
        available = onnxruntime.get_available_providers()
        for name in providers:
            one_of(available, provider=name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # what it warns of while it optimizes is of no use to the caller
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                self.file, options, providers=providers)
        except Exception as error:  # onnxruntime's have no common class
            raise UserError(f'{file} cannot be read as an ONNX file: '
                            f'{str(error).splitlines()[0]}') from error
        self.metadata = self.session.get_modelmeta().custom_metadata_map
        version = self.metadata.get('mmpose_wloss_format')
        if version != str(FORMAT_VERSION):
            raise UserError(
                f'{self.file} has format {version} of mmpose_wloss, but this version '
                f'reads format {FORMAT_VERSION}: export the checkpoint again')
        self.description, self.dataset, self.multi_stage = (
            json.loads(self.metadata[key])
            for key in ('network', 'dataset', 'multi_stage'))
        image, = self.session.get_inputs()
        self.input_name = image.name
        self.input_size = (image.shape[3], image.shape[2])
        outputs = self.session.get_outputs()
        self.output_names = tuple(output.name for output in outputs)
        self.output_shapes = tuple(tuple(output.shape[1:]) for output in outputs)

    def check_fits(self, network: Mapping) -> None:
        """Check that a model config is that of the network in the file.

        Raises:
            UserError: If it is another one; names the first key that differs.
        """
        for key, ours, theirs in _differences(
                self.description, network_description(network)):
            raise UserError(
                f'{self.file} holds another network than the config: {key} is '
                f'{ours!r} in the file and {theirs!r} in the config. Give the '
                'config that it was exported with, or export it again')

    def check_size(self, inputs: Tensor) -> None:
        """Check that images in shape [B, 3, H, W] have the file's size."""
        width, height = self.input_size
        if tuple(inputs.shape[2:]) != (height, width):
            raise UserError(
                f'{self.file} takes images of {width} × {height} pixels, but they '
                f'are {inputs.shape[3]} × {inputs.shape[2]}: set input_size')

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run the network on preprocessed images in shape [B, 3, H, W].

        Returns:
            Tensor | tuple[Tensor]: Heatmaps in shape [B, K, h, w], or a pair of SimCC
            vectors in shapes [B, K, Wx] and [B, K, Wy]; in float32 on the input's
            device.
        """
        self.check_size(inputs)
        images = inputs.detach().float().cpu().contiguous().numpy()
        outputs = tuple(torch.from_numpy(output).to(inputs.device) for output in
                        self.session.run(None, {self.input_name: images}))
        return outputs if len(outputs) > 1 else outputs[0]

    def __deepcopy__(self, memo: dict) -> 'OnnxNetwork':
        """Itself: a session has no state, and cannot be copied."""
        return self
