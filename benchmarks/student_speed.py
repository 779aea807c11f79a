"""Images per second of the mobile student and of larger networks on a CPU.

The networks alone, one image of 256 × 256 pixels at a time, with weights drawn at
random, in PyTorch, by onnxruntime and, where it is installed, by OpenVINO
(``pip install openvino``). Rounds go over all in turn, every other one backwards;
a ratio is the median over rounds, with its quartiles.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import mmpose_wloss
from mmpose_wloss.deploy import export_onnx
from mmpose_wloss.deploy.export import OutputNetwork
from mmpose_wloss.deploy.network import OnnxNetwork, import_package

import mmpose
import torch
from json_rows import RESULTS, write_rows
from loss_overhead import CLOCKS, measure
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from semi_step import ROOT, ratios, text
from tabulate import tabulate

try:
    import openvino
except ImportError:
    openvino = None

FILE = RESULTS / 'student_speed.json'
STOCK = Path(mmpose.__file__).parent / '.mim' / 'configs' / 'body_2d_keypoint'
MOBILE = ROOT / 'configs' / 'hourglass_mobile_s2_mpii.py'
REFERENCE = 'HRNet-W32'
# network: its config, and keys of the model to change
NETWORKS = {
    'mobile, 1 stack': (MOBILE, {'backbone.num_stacks': 1, 'head.num_stages': 1}),
    'mobile, 2 stacks': (MOBILE, {}),
    # of 256 × 192 pixels in the stock config
    'RTMPose-s': (
        STOCK / 'rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py',
        {'head.input_size': (256, 256), 'head.in_featuremap_size': (8, 8),
         'head.decoder.input_size': (256, 256)}),
    REFERENCE: (STOCK / 'topdown_heatmap/mpii'
                / 'td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py', {}),
    'hourglass-52': (STOCK / 'topdown_heatmap/mpii'
                     / 'td-hm_hourglass52_8xb64-210e_mpii-256x256.py', {}),
}


def openvino_network(file: Path, threads: int, **options) -> Callable:
    """What runs an ONNX file by OpenVINO."""
    compiled = openvino.Core().compile_model(str(file), 'CPU', dict(
        INFERENCE_NUM_THREADS=threads, PERFORMANCE_HINT='LATENCY', **options))
    return lambda image: compiled([image.numpy()])


def runtimes(name: str, folder: Path, threads: int) -> tuple[dict, int]:
    """A network in each runtime, and its number of parameters."""
    file, changes = NETWORKS[name]
    config = Config.fromfile(str(file))
    config.merge_from_dict({f'model.{key}': value for key, value in changes.items()})
    config.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    onnx = folder / f'{name}.onnx'
    export_onnx(model.eval(), config, str(onnx))
    networks = {'PyTorch': OutputNetwork(model).eval(),
                'ONNX': OnnxNetwork(str(onnx), threads=threads)}
    if openvino:
        networks['OpenVINO, float32'] = openvino_network(
            onnx, threads, INFERENCE_PRECISION_HINT='f32')
        # bfloat16, where the processor has it
        networks['OpenVINO'] = openvino_network(onnx, threads)
    return networks, sum(each.numel() for each in model.parameters())


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--calls', type=int, default=5, help='of a round')
    parser.add_argument('--clock', choices=CLOCKS, default='wall',
                        help='cpu: of one thread')
    args = parser.parse_args()
    if args.clock == 'cpu' and args.threads != 1:
        parser.error('--clock cpu needs --threads 1')
    logging.disable(logging.INFO)
    init_default_scope('mmpose')
    torch.set_num_threads(args.threads)
    image = torch.randn(1, 3, 256, 256)

    functions, parameters = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            with torch.inference_mode(False), contextlib.redirect_stdout(io.StringIO()):
                networks, parameters[name] = runtimes(name, Path(folder), args.threads)
            for runtime, network in networks.items():
                functions[name, runtime] = lambda network=network: [
                    network(image) for _ in range(args.calls)]
        load = os.getloadavg()[0]
        seconds = measure(functions, args.rounds, torch.device('cpu'), 'calls',
                          CLOCKS[args.clock])

    rows = [dict(
        network=name, runtime=runtime, parameters=parameters[name],
        images_per_second=args.calls / statistics.median(values),
        over_reference=ratios(seconds[REFERENCE, runtime], values),
        over_pytorch=ratios(seconds[name, 'PyTorch'], values))
        for (name, runtime), values in seconds.items()]
    print(tabulate(
        [[row['network'], row['runtime'], f'{row["parameters"] / 1e6:.2f}',
          f'{row["images_per_second"]:.1f}', text(row['over_reference']),
          text(row['over_pytorch'])] for row in rows],
        ['network', 'runtime', 'parameters, M', 'images/s',
         f'over {REFERENCE}, same runtime', 'over itself in PyTorch'],
        tablefmt='github'))
    content = json.loads(FILE.read_text()) if FILE.exists() else {}
    if content.get('format') != 2:
        content = dict(format=2, threads={})
    content['threads'][str(args.threads)] = dict(
        rows=rows, rounds=args.rounds, calls=args.calls, clock=args.clock, load=load,
        versions=dict(
            torch=torch.__version__, mmpose=mmpose.__version__,
            onnxruntime=import_package('onnxruntime').__version__,
            openvino=openvino and openvino.__version__,
            python=platform.python_version(),
            mmpose_wloss=mmpose_wloss.__version__))
    write_rows(FILE, content, levels=4)


if __name__ == '__main__':
    main()
