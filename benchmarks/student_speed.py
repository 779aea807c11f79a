"""Images per second of the mobile student and of larger networks on a CPU.

All networks in one run, at batch size 1 and 256 × 256 pixels, with weights
drawn at random, in PyTorch, onnxruntime and, where it is installed, OpenVINO
(``pip install -r requirements/benchmarks.txt``). Rounds go over all in turn,
every other one backwards; the figures are medians over rounds and, in
brackets, the lowest and the highest.
"""

import argparse
import copy
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mmpose_wloss
from mmpose_wloss.deploy.onnx_export import Network, export_model
from mmpose_wloss.deploy.onnx_network import (
    OnnxNetwork,
    import_onnxruntime,
)
from mmpose_wloss.deploy.onnx_quantization import quantize_onnx
from mmpose_wloss.engine.speed import alternating_speeds, processor_name

import mmpose
import torch
from json_rows import write_rows
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from tabulate import tabulate
from torch import nn

try:
    import openvino
except ImportError:
    openvino = None

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'student_speed.json'
STOCK = Path(mmpose.__file__).parent.joinpath(
    '.mim', 'configs', 'body_2d_keypoint', 'topdown_heatmap', 'mpii')
STUDENT, REFERENCE = 'mobile, 2 stacks', 'HRNet-W32'
CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)


def hourglass(num_stacks: int, mobile: bool) -> dict:
    codec = dict(type='MSRAHeatmap', input_size=(256, 256),
                 heatmap_size=(64, 64), sigma=2)
    return dict(
        type='TopdownPoseEstimator',
        backbone=dict(type='PreActHourglassNet', num_stacks=num_stacks,
                      num_blocks=1, mobile=mobile),
        head=dict(type='CPMHead', in_channels=16, out_channels=16,
                  num_stages=num_stacks, final_layer=None,
                  loss=dict(type='KeypointMSELoss'), decoder=codec))


def stock(name: str) -> dict:
    model = Config.fromfile(STOCK / name).model
    model.backbone.init_cfg = None
    return model


NETWORKS = {
    STUDENT: lambda: hourglass(2, True),
    'mobile, 1 stack': lambda: hourglass(1, True),
    '2 stacks': lambda: hourglass(2, False),
    '8 stacks': lambda: hourglass(8, False),
    'hourglass-52': lambda: stock(
        'td-hm_hourglass52_8xb64-210e_mpii-256x256.py'),
    REFERENCE: lambda: stock('td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py'),
}


def cost(network: nn.Module, image: torch.Tensor) -> dict:
    flops = FlopAnalyzer(network, image)
    flops.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return dict(
        parameters=sum(each.numel() for each in network.parameters()),
        conv_gmacs=flops.by_operator()['conv'] / 1e9)


def variants(network: nn.Module, image: torch.Tensor) -> dict:
    """What PyTorch itself can do for the student."""
    with torch.no_grad():
        traced = torch.jit.optimize_for_inference(
            torch.jit.freeze(torch.jit.trace(network, image)))
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    rearranged = image.to(memory_format=torch.channels_last)
    return {'PyTorch, channels last': lambda: last(rearranged),
            'PyTorch, frozen trace': lambda: traced(image)}


def openvino_run(file: Path, image: torch.Tensor, threads: int) -> Callable:
    compiled = openvino.Core().compile_model(
        str(file), 'CPU', dict(INFERENCE_NUM_THREADS=threads,
                               PERFORMANCE_HINT='LATENCY'))
    array = image.numpy()
    return lambda: compiled([array])


def runs_of(name: str, folder: Path, threads: int) -> tuple[dict, dict]:
    """What to measure of a network, by runtime; and its cost."""
    torch.manual_seed(0)
    image = torch.randn(1, 3, 256, 256)
    config = NETWORKS[name]()
    model = MODELS.build(config).eval()
    network = Network(model).eval()
    costs = cost(network, image)
    runs = {'PyTorch': lambda: network(image)}
    file = folder / f'{name}.onnx'
    export_model(model, Config(dict(model=config)), file, checked_images=2)
    files = {'': file}
    if name in (STUDENT, REFERENCE):
        files[' int8'] = quantize_onnx(
            file, folder / f'{name}_int8.onnx', iter([image]))
    if name == STUDENT:
        runs.update(variants(network, image))
    for suffix, each in files.items():
        onnx = OnnxNetwork(each, threads=threads)
        runs[f'ONNX{suffix}'] = lambda onnx=onnx: onnx(image)
        if openvino:
            runs[f'OpenVINO{suffix}'] = openvino_run(each, image, threads)
    return runs, costs


def summary(name: str, runtime: str, speeds: dict, costs: dict) -> dict:
    """A row, with the ratio to the reference in each round."""
    reference = speeds[REFERENCE, runtime if (REFERENCE, runtime) in speeds
                       else 'PyTorch']
    ratios = [ours / theirs for ours, theirs in
              zip(speeds[name, runtime], reference, strict=True)]
    return dict(network=name, runtime=runtime, **costs[name],
                images_per_second=speeds[name, runtime], ratio=ratios,
                ratio_to_pytorch=[
                    ours / theirs for ours, theirs in
                    zip(speeds[name, runtime], speeds[REFERENCE, 'PyTorch'],
                        strict=True)])


def spread(values: list, digits: int) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return (f'{middle:.{digits}f} ({low:.{digits}f} … {high:.{digits}f})')


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seconds', type=float, default=2.,
                        help='how long to measure each in each round')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument(
        '--clock', choices=list(CLOCKS), default='wall',
        help="cpu counts this process's work alone, for a machine that has "
        'more to do; with one thread only')
    args = parser.parse_args()
    if args.clock == 'cpu' and args.threads != 1:
        parser.error('--clock cpu adds the threads up: use --threads 1')
    init_default_scope('mmpose')
    torch.set_num_threads(args.threads)
    load = os.getloadavg()[0]

    runs, costs = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            print(f'preparing {name}', flush=True)
            each, costs[name] = runs_of(name, Path(folder), args.threads)
            runs.update({(name, runtime): run for runtime, run in each.items()})
        speeds = alternating_speeds(runs, 1, args.seconds, args.rounds,
                                    CLOCKS[args.clock])
    rows = [summary(name, runtime, speeds, costs) for name, runtime in runs]
    print(tabulate(
        [[row['network'], f'{row["parameters"] / 1e6:.2f}',
          f'{row["conv_gmacs"]:.2f}', row['runtime'],
          spread(row['images_per_second'], 1), spread(row['ratio'], 2),
          f'{statistics.median(row["ratio_to_pytorch"]):.2f}']
         for row in rows],
        ['network', 'parameters, M', 'GMACs', 'runtime', 'images/s',
         f'over {REFERENCE}, same runtime', f'over {REFERENCE}, PyTorch'],
        tablefmt='github', disable_numparse=True))
    versions = dict(torch=torch.__version__, mmpose=mmpose.__version__,
                    onnxruntime=import_onnxruntime().__version__,
                    openvino=openvino and openvino.__version__,
                    python=platform.python_version(),
                    mmpose_wloss=mmpose_wloss.__version__)
    print(f'\n{processor_name()}, {args.threads} threads, {args.clock} clock, '
          f'load {load:.1f} before and {os.getloadavg()[0]:.1f} after; '
          f'{versions}')
    write_rows(RESULTS, dict(
        format=1, rows=rows, processor=processor_name(), threads=args.threads,
        clock=args.clock, seconds=args.seconds, rounds=args.rounds,
        load=[load, os.getloadavg()[0]], versions=versions))


if __name__ == '__main__':
    main()
