"""What an ONNX file costs and gains beside PyTorch, and 8 bits beside it."""

import contextlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmpose.registry import MODELS
from tabulate import tabulate
from torch import Tensor, nn

from ..engine.speed import alternating_speeds, processor_name
from ..version import __version__
from .onnx_evaluation import evaluate_model, with_onnx_file
from .onnx_export import Network
from .onnx_network import import_onnxruntime

PYTORCH = 'PyTorch'


@torch.no_grad()
def compare_runtimes(model: nn.Module, config: Config,
                     files: Mapping[str, str], images: Sequence[Tensor], *,
                     evaluate: bool = False, seconds: float = 2.,
                     rounds: int = 3, threads: int = 0) -> dict[str, dict]:
    """Compare a model in PyTorch with its ONNX files.

    Args:
        model (nn.Module): A stock top-down estimator in evaluation mode.
        config (Config): Its config.
        files (Mapping[str, str]): ONNX files of it, by the name of the row.
        images (Sequence[Tensor]): Preprocessed images, each in shape
            [1, 3, H, W]; joints are compared on all, speed is measured on
            the first.
        evaluate (bool): Whether to evaluate each on the config's test set.
            Defaults to ``False``.
        seconds (float): How long to measure the speed of each in each round.
            Defaults to 2.
        rounds (int): How often to measure in turn. Defaults to 3.
        threads (int): Threads of each; 0 leaves it to PyTorch and to
            onnxruntime. Defaults to 0.

    Returns:
        dict[str, dict]: By row, PyTorch first: ``bytes`` of the file,
        ``images_per_second`` at batch size 1 and that of each round,
        ``joint_distance`` from PyTorch in pixels of the input (mean, median),
        ``metrics`` where asked for.
    """
    models = {name: MODELS.build(with_onnx_file(config, file, threads).model)
              for name, file in files.items()}
    models = {PYTORCH: model, **models}
    networks = {name: Network(each) for name, each in models.items()}
    with torch_threads(threads):
        joints = {name: _joints(network, model.head, images)
                  for name, network in networks.items()}
        speeds = alternating_speeds(
            {name: lambda network=network: network(images[0])
             for name, network in networks.items()},
            seconds=seconds, rounds=rounds)
        rows = {}
        for name, each in models.items():
            distance = np.linalg.norm(joints[name] - joints[PYTORCH], axis=-1)
            rows[name] = dict(
                images_per_second=float(np.median(speeds[name])),
                rounds=speeds[name],
                joint_distance=dict(mean=float(distance.mean()),
                                    median=float(np.median(distance))))
            if name in files:
                rows[name]['bytes'] = Path(files[name]).stat().st_size
            if evaluate:
                rows[name]['metrics'] = evaluate_model(each, config, name)
    return rows


def _joints(network: nn.Module, head: nn.Module,
            images: Sequence[Tensor]) -> np.ndarray:
    """Joints in pixels of the input, without flip test: [N, K, 2]."""
    joints = []
    for image in images:
        joints += [each.keypoints[..., :2] for each in
                   head.decode(network(image))]
    return np.concatenate(joints)


@contextlib.contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """PyTorch with so many threads; 0 leaves them as they are."""
    before = torch.get_num_threads()
    try:
        if threads:
            torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)


def runtime_table(rows: Mapping[str, Mapping]) -> str:
    """What :func:`compare_runtimes` found, in Markdown.

    Args:
        rows (Mapping[str, Mapping]): As it gives them.

    Returns:
        str: A column for PyTorch and for each file.
    """
    first = rows[PYTORCH]
    table = [
        ['file, MB', *(f'{row["bytes"] / 1e6:.2f}' if 'bytes' in row else ''
                       for row in rows.values())],
        ['images/s, batch 1', *(
            f'{row["images_per_second"]:.1f} ({min(row["rounds"]):.1f} … '
            f'{max(row["rounds"]):.1f})' for row in rows.values())],
        ['joints from PyTorch, px, mean', *(
            f'{row["joint_distance"]["mean"]:.3f}' for row in rows.values())],
        ['joints from PyTorch, px, median', *(
            f'{row["joint_distance"]["median"]:.3f}'
            for row in rows.values())],
        *([name, *(f'{row["metrics"][name]:.4g}' for row in rows.values())]
          for name in first.get('metrics', ()))]
    return tabulate(table, ['', *rows], tablefmt='github',
                    disable_numparse=True)


def runtime_facts(threads: int) -> dict:
    """On what figures were measured, for a JSON file."""
    return dict(
        processor=processor_name(),
        threads=dict(torch=threads or torch.get_num_threads(),
                     onnxruntime=threads or 'all'),
        versions=dict(
            mmpose_wloss=__version__, python=platform.python_version(),
            torch=torch.__version__,
            onnxruntime=import_onnxruntime().__version__))
