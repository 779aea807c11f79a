"""Networks in ONNX files, run by onnxruntime."""

import importlib
import json
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..common.checks import whole
from ..common.errors import UserError
from ..common.files import existing_file

FORMAT_VERSION = 1
HEATMAPS = ('heatmaps', )
SIMCC = ('simcc_x', 'simcc_y')
# parts of a config that the outputs do not depend on
NOT_DESCRIBED = ('init_cfg', 'pretrained', 'loss', 'decoder',
                 'batch_augments', 'non_blocking')


def import_package(name: str) -> ModuleType:
    """Import a package that only ONNX files need.

    Raises:
        UserError: If it is not installed; names the command.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f'{name}, which ONNX files need, is not installed. Install it '
            'with: pip install "onnx>=1.15" "onnxruntime>=1.17"') from error


def network_description(network: Mapping) -> dict[str, Any]:
    """What decides the outputs of a network, except for its weights.

    These are backbone, neck, head and preprocessing of a model config as JSON
    values, without losses, codec and initialization. An ONNX file says it of
    itself, and a config must agree with it.
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


def _first_difference(one: Any, other: Any, key: str = 'network'
                      ) -> tuple[str, Any, Any] | None:
    """Where two values differ first: the key, and what either has."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return None if one == other else (key, one, other)
    for name in {**one, **other}:
        found = _first_difference(one.get(name), other.get(name),
                                  f'{key}.{name}')
        if found:
            return found
    return None


class OnnxNetwork(nn.Module):
    """The network in an ONNX file, run by onnxruntime.

    Args:
        file (str): A file that :func:`export_onnx` wrote.
        providers (Sequence[str], optional): onnxruntime's execution
            providers, the preferred one first; ``None``: the CPU.
        threads (int): Threads of an operation; 0 leaves it to onnxruntime,
            which takes a thread for each core.

    Attributes:
        input_size (tuple[int]): Width and height of the input in pixels.
        output_names (tuple[str]): ``('heatmaps', )``, or ``('simcc_x',
            'simcc_y')``.
        output_shapes (tuple[tuple[int]]): Their shapes, without the batch.
        multi_stage (bool): Whether the head gives a list of heatmaps, of
            which the file has the last.
        description (dict): The network (:func:`network_description`).
        dataset (dict): Name, joint names, mirrored joints and skeleton of
            the data set, where the config named one; else empty.

    Raises:
        MissingFile: If there is no such file.
        UserError: If onnxruntime or a provider is not there, or if the file
            is not one of ours.
    """

    def __init__(self, file: str, providers: Sequence[str] | None = None,
                 threads: int = 0):
        super().__init__()
        whole(0, threads=threads)
        self.file = str(existing_file(file, 'ONNX file'))
        onnxruntime = import_package('onnxruntime')
        providers = list(providers or ['CPUExecutionProvider'])
        available = onnxruntime.get_available_providers()
        missing = [name for name in providers if name not in available]
        if missing:
            raise UserError(
                f'onnxruntime has no {", ".join(map(str, missing))} here: it '
                f'has {", ".join(available)}')
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
        self._read_metadata()

    def _read_metadata(self) -> None:
        self.metadata = self.session.get_modelmeta().custom_metadata_map
        version = self.metadata.get('mmpose_wloss_format')
        if version != str(FORMAT_VERSION):
            raise UserError(
                f'{self.file} has format {version} of mmpose_wloss, but this '
                f'version reads format {FORMAT_VERSION}: export the '
                'checkpoint by python -m mmpose_wloss export')
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
            UserError: If it is another one; names the first key that
                differs, with both values.
        """
        found = _first_difference(self.description,
                                  network_description(network))
        if found:
            key, ours, theirs = found
            raise UserError(
                f'{self.file} holds another network than the config: {key} is '
                f'{ours!r} in the file and {theirs!r} in the config. Give the '
                'config that it was exported with, or export it again')

    def check_size(self, inputs: Tensor) -> None:
        """Check that images in shape [B, 3, H, W] have the file's size.

        Raises:
            UserError: If they have another one.
        """
        width, height = self.input_size
        if tuple(inputs.shape[2:]) != (height, width):
            raise UserError(
                f'{self.file} takes images of {width} × {height} pixels, but '
                f'they are {inputs.shape[3]} × {inputs.shape[2]}: set '
                'input_size of the pipeline, or export the network again')

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run the network.

        Args:
            inputs (Tensor): Preprocessed images in shape [B, 3, H, W].

        Returns:
            Tensor | tuple[Tensor]: Heatmaps in shape [B, K, h, w], or a pair
            of SimCC vectors in shapes [B, K, Wx] and [B, K, Wy]; in float32
            on the device of the input.
        """
        self.check_size(inputs)
        images = inputs.detach().float().cpu().contiguous().numpy()
        outputs = tuple(
            torch.from_numpy(output).to(inputs.device) for output in
            self.session.run(None, {self.input_name: images}))
        return outputs if len(outputs) > 1 else outputs[0]

    def __deepcopy__(self, memo: dict) -> 'OnnxNetwork':
        """Itself: a session has no state, and cannot be copied."""
        return self
