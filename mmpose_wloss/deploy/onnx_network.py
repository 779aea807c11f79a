import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FORMAT_VERSION = 1
HEATMAPS = ('heatmaps', )
SIMCC = ('simcc_x', 'simcc_y')
# what a config may change without another network coming out
_NO_PART = ('init_cfg', 'pretrained', 'loss', 'decoder', 'batch_augments',
            'non_blocking')


def import_onnxruntime() -> ModuleType:
    """The package that runs ONNX files.

    Raises:
        ImportError: If it is not installed; names the command.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            'onnxruntime, which runs ONNX files, is not installed. Install '
            'it with: pip install "onnxruntime>=1.17"') from error
    return onnxruntime


def network_description(network: Mapping) -> dict[str, Any]:
    """What decides the outputs of a network but for its weights.

    That is what an ONNX file says of itself, and what a config must agree
    with to be run by it.

    Args:
        network (Mapping): Model config of a stock pose estimator.

    Returns:
        dict: Backbone, neck, head and preprocessing as plain JSON values,
        without losses, codec and initialization.
    """
    return {key: _plain(network.get(key)) for key in
            ('data_preprocessor', 'backbone', 'neck', 'head')
            if network.get(key)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        plain = {str(key): _plain(inner) for key, inner in value.items()
                 if key not in _NO_PART}
        if isinstance(plain.get('type'), str):
            # with or without its scope, as a string or as a class
            plain['type'] = plain['type'].rpartition('.')[2]
        return plain
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, type):
        return value.__name__
    return value


def first_difference(one: Any, other: Any, key: str = 'network'
                     ) -> tuple[str, Any, Any] | None:
    """Where two plain values differ first: the key, and what either has."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in [*one, *(name for name in other if name not in one)]:
            found = first_difference(one.get(name), other.get(name),
                                     f'{key}.{name}')
            if found:
                return found
        return None
    return None if one == other else (key, one, other)


class OnnxNetwork(nn.Module):
    """The network in an ONNX file, run by onnxruntime.

    Args:
        file (str): A file that ``tools/export_onnx.py`` wrote.
        providers (Sequence[str], optional): onnxruntime's execution
            providers, the preferred one first. Defaults to ``None``: the CPU.
        threads (int): Threads of an operation; 0 leaves it to onnxruntime,
            which takes a thread for each core. Defaults to 0.

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
        FileNotFoundError: If there is no such file.
        ImportError: If onnxruntime is not installed.
        ValueError: If the file is not one of ours, or if a provider is not
            there.
    """

    def __init__(self, file: str, providers: Sequence[str] | None = None,
                 threads: int = 0):
        super().__init__()
        self.file = str(file)
        if not Path(file).is_file():
            raise FileNotFoundError(f'there is no ONNX file {file}')
        onnxruntime = import_onnxruntime()
        if threads < 0:
            raise ValueError(f'threads must not be below 0, but it is {threads}')
        providers = list(providers or ['CPUExecutionProvider'])
        available = onnxruntime.get_available_providers()
        missing = [name for name in providers if name not in available]
        if missing:
            raise ValueError(
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
            raise ValueError(f'{file} cannot be read as an ONNX file: '
                             f'{str(error).splitlines()[0]}') from error
        self._read_metadata()

    def _read_metadata(self) -> None:
        meta = self.session.get_modelmeta().custom_metadata_map
        if 'mmpose_wloss_format' not in meta:
            raise ValueError(
                f'{self.file} was not written by tools/export_onnx.py, and '
                'does not say which network it holds. Export the checkpoint '
                'with that tool')
        if meta['mmpose_wloss_format'] != str(FORMAT_VERSION):
            raise ValueError(
                f'{self.file} has format {meta["mmpose_wloss_format"]}, but '
                f'this version reads format {FORMAT_VERSION}: export the '
                'checkpoint again')
        self.description = json.loads(meta['network'])
        self.dataset = json.loads(meta['dataset'])
        self.multi_stage = json.loads(meta['multi_stage'])
        image, = self.session.get_inputs()
        self.input_name = image.name
        self.input_size = (image.shape[3], image.shape[2])
        outputs = self.session.get_outputs()
        self.output_names = tuple(output.name for output in outputs)
        self.output_shapes = tuple(tuple(output.shape[1:]) for output in outputs)

    def check_fits(self, network: Mapping) -> None:
        """Check that a config is that of the network in the file.

        Args:
            network (Mapping): Model config of a stock pose estimator.

        Raises:
            ValueError: If it is another one; names the first key that
                differs, with both values.
        """
        # as the file has it, where numbers are keys and tuples too
        given = json.loads(json.dumps(network_description(network)))
        found = first_difference(self.description, given)
        if found:
            key, ours, theirs = found
            raise ValueError(
                f'{self.file} holds another network than the config: {key} is '
                f'{_short(ours)} in the file and {_short(theirs)} in the '
                'config. Give the config that it was exported with, or export '
                'it again')

    def check_size(self, inputs: Tensor) -> None:
        """Check that images have the size that the file takes.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].

        Raises:
            ValueError: If they have another one.
        """
        width, height = self.input_size
        if tuple(inputs.shape[2:]) != (height, width):
            raise ValueError(
                f'{self.file} takes images of {width} × {height} pixels, but '
                f'they are {inputs.shape[3]} × {inputs.shape[2]}: set '
                'input_size of the pipeline, or export the network again')

    def forward(self, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Run the network.

        Args:
            inputs (Tensor): Preprocessed images in shape [B, 3, H, W].

        Returns:
            Tensor | tuple[Tensor]: Heatmaps in shape [B, K, h, w], or a pair
            of SimCC vectors in shapes [B, K, Wx] and [B, K, Wy]; on the
            device of the input.

        Raises:
            ValueError: If images have another size.
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


def _short(value: Any) -> str:
    if value is None:
        return 'not there'
    text = json.dumps(value)
    return text if len(text) <= 60 else f'{text[:57]}…'
