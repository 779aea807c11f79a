"""What a PoseDual step costs beside the passes that it cannot avoid.

For each network these are: forward and backward on the labeled images, forward
without gradient on the easy view, forward and backward on the hard one. Rounds
go over all that is compared in turn, every other one backwards; a ratio is the
median over rounds, with its quartiles.
"""

import argparse
import contextlib
import logging
import platform
import statistics
from pathlib import Path

import mmpose_wloss
from mmpose_wloss.compat.freed_memory import keep_freed_memory
from mmpose_wloss.models.heads.keypoint_outputs import at_least_float32
from mmpose_wloss.models.losses import heatmap_consistency_loss
from mmpose_wloss.models.module_contexts import recorded

import torch
from json_rows import results_file, write_rows
from loss_overhead import CLOCKS, measure
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.testing import get_packed_inputs
from tabulate import tabulate
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/posedual_res18_coco1k_jointcutout.py'
# name: dtype of autocast, channels_last
SETTINGS = {
    'float32': (None, False),
    'float32, channels_last': (None, True),
    'bfloat16': (torch.bfloat16, False),
    'bfloat16, channels_last': (torch.bfloat16, True),
}
PATHS = {
    'HardAffine': [dict(type='HardAffine')],
    'JointCutout, HardAffine': [
        dict(type='JointCutout'), dict(type='HardAffine')],
    'RandAugment, HardAffine': [
        dict(type='RandAugment'), dict(type='HardAffine')],
    'JointCutOcclude, Cutout, HardAffine': [
        dict(type='JointCutOcclude'), dict(type='Cutout'),
        dict(type='HardAffine')],
    'JointCutout, CutMix, HardAffine': [
        dict(type='JointCutout'), dict(type='CutMix'),
        dict(type='HardAffine')],
}


class Bench:
    """A PoseDual with a batch, on a device, in some setting.

    Args:
        batch (int): Labeled images, and as many unlabeled ones.
        device (torch.device): Where to run.
        dtype (torch.dtype, optional): Of autocast.
        channels_last (bool): The model's option.
    """

    def __init__(self, batch: int, device: torch.device,
                 dtype: torch.dtype | None = None,
                 channels_last: bool = False):
        config = Config.fromfile(str(ROOT / CONFIG))
        config.model.network.backbone.init_cfg = config.model.init_cfgs = None
        config.model.channels_last = channels_last
        self.model = MODELS.build(config.model).to(device).train()
        self.model.init_weights()
        self.autocast = (torch.autocast(device.type, dtype) if dtype
                         else contextlib.nullcontext())
        data = get_packed_inputs(2 * batch, num_keypoints=17,
                                 input_size=(192, 256), heatmap_size=(48, 64))
        for index, sample in enumerate(data['data_samples']):
            sample.set_metainfo(dict(labeled=index < batch))
            if index >= batch:
                sample.gt_instance_labels = InstanceData(
                    keypoint_weights=torch.ones(1, 17))
        data = self.model.data_preprocessor(data, True)
        self.inputs = self.model._images(data['inputs'])
        self.samples = data['data_samples']
        self.labeled = self.inputs[:batch]
        self.unlabeled = self.inputs[batch:]
        self.targets = torch.rand(batch, 17, 64, 48, device=device)
        self.weights = torch.ones(batch, 17, device=device)

    def step(self) -> None:
        """The step of PoseDual, without preprocessing and optimizer."""
        with self.autocast:
            losses = self.model(self.inputs, self.samples, mode='loss')
        self.model.parse_losses(losses)[0].backward()
        self.model.zero_grad(set_to_none=True)

    def supervised(self, network: nn.Module, inputs=None) -> None:
        inputs = self.labeled if inputs is None else inputs
        with self.autocast, recorded(network.head, 'forward',
                                     change=at_least_float32):
            losses = network.loss(inputs, self.samples[:len(inputs)])
        losses['loss_kpt'].backward()

    def easy(self, network: nn.Module) -> None:
        with self.autocast, torch.no_grad():
            network.head.forward(network.extract_feat(self.unlabeled))

    def hard(self, network: nn.Module) -> None:
        with self.autocast:
            output = network.head.forward(network.extract_feat(self.unlabeled))
            loss = heatmap_consistency_loss(output, self.targets, self.weights)
        loss.backward()

    def passes(self) -> None:
        """All that cannot be avoided, one after the other."""
        for network in self.model.networks.values():
            self.supervised(network)
            self.easy(network)
            self.hard(network)
        # gradients of both passes are summed, as in the step
        self.model.zero_grad(set_to_none=True)

    def hard_views(self, path: list[dict]):
        """Making the hard views of both students on one path."""
        steps = nn.Sequential(*map(MODELS.build, path))
        _, _, view = self.model.teach(
            self.unlabeled, self.samples[len(self.labeled):])
        view = view.replace(joints=190 * torch.rand(
            2, len(self.unlabeled), 17, 2, device=self.inputs.device))
        return lambda: steps(view)

    def network_alone(self) -> None:
        """A supervised step of one network on as many images."""
        self.samples = self.samples[:len(self.labeled)] * 2
        self.supervised(self.model.networks['first'], self.inputs)
        self.model.zero_grad(set_to_none=True)


def peak_memory(function, device: torch.device) -> int:
    """Bytes that a function allocates at most, beyond what was there."""
    function()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU],
            profile_memory=True) as profile:
        function()
    # CPU tensors alone; events of the profiler's own are not among them
    changes = [event for event in profile.profiler.kineto_results.events()
               if event.name() == '[memory]']
    # torch 2.1 counts microseconds
    start = 'start_ns' if hasattr(changes[0], 'start_ns') else 'start_us'
    changes.sort(key=lambda event: getattr(event, start)())
    there = peak = 0
    for event in changes:
        there += event.nbytes()
        peak = max(peak, there)
    return peak


def ratios(seconds: list[float], other: list[float]) -> list[float]:
    """Lower quartile, median and upper quartile of the ratios."""
    return statistics.quantiles(
        [one / two for one, two in zip(seconds, other, strict=True)], n=4)


def text(quartiles: list[float]) -> str:
    return '{1:.3f} ({0:.3f} … {2:.3f})'.format(*quartiles)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--batch', type=int, default=4,
                        help='labeled images, and as many unlabeled ones')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--clock', choices=CLOCKS, default='wall', help='on '
                        'a busy machine, cpu counts less of what others do')
    args = parser.parse_args()
    logging.disable(logging.INFO)
    init_default_scope('mmpose')
    torch.manual_seed(0)
    device = torch.device(args.device)
    # as a training on a CPU does
    keep_freed_memory()

    benches = {name: Bench(args.batch, device, *setting)
               for name, setting in SETTINGS.items()}
    functions = {}
    for name, bench in benches.items():
        functions[name, 'step'] = bench.step
        functions[name, 'passes'] = bench.passes
    plain = benches['float32']
    for name, path in PATHS.items():
        functions[name, 'hard views'] = plain.hard_views(path)
    seconds = measure(functions, args.rounds, device, 'steps',
                      CLOCKS[args.clock])

    settings = {}
    for name in SETTINGS:
        step, passes = seconds[name, 'step'], seconds[name, 'passes']
        settings[name] = dict(
            milliseconds=1e3 * statistics.median(step),
            over_passes=ratios(step, passes),
            speed=ratios(seconds['float32', 'step'], step))
    print(tabulate(
        [[name, f'{row["milliseconds"]:.0f}', text(row['over_passes']),
          text(row['speed'])] for name, row in settings.items()],
        ['setting', 'step, ms', 'over its passes', 'speed over float32'],
        tablefmt='github'), '\n')
    views = {name: ratios(seconds[name, 'hard views'],
                          seconds['float32', 'step']) for name in PATHS}
    print(tabulate([[name, text([100 * x for x in row]).replace(')', ') %')]
                    for name, row in views.items()],
                   ['hard views of both networks', 'of the float32 step'],
                   tablefmt='github'), '\n')
    memory = dict(step=peak_memory(plain.step, device),
                  network=peak_memory(plain.network_alone, device))
    ratio = memory['step'] / memory['network']
    print(f'peak memory: PoseDual {memory["step"] / 2**20:.0f} MiB, a '
          f'supervised step of one network on as many images '
          f'{memory["network"] / 2**20:.0f} MiB: {ratio:.2f} x')

    write_rows(results_file('semi_step', device), dict(
        format=1, config=CONFIG, batch=[args.batch, args.batch],
        rounds=args.rounds, device=args.device,
        clock=args.clock, settings=settings,
        hard_views=views, peak_memory=memory,
        threads=torch.get_num_threads(),
        versions=dict(torch=torch.__version__,
                      python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__)))


if __name__ == '__main__':
    main()
