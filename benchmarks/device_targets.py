"""What it brings to draw targets on the device, and not in the workers.

Stock's ``GenerateTarget`` beside ``DeviceTargets``, in alternating rounds of one
run, on crops of 256 x 192: the time of a sample's step in the worker, bytes of a
sample's labels from worker to training, samples a second of one worker, a training
step of a small network (ResNet-18, an eighth of its channels) with data that are
there, and samples a second of a training with one worker. Integral 3D targets are
drawn on the device by the head already: what is told of them is how long that takes,
and what the volume of a sample would take on its way.

A ratio is the median over rounds of drawn over stock, with its quartiles. On a
machine that computes other things, too, ``--clock processor`` counts the processor
time of the training and its worker, which is what a busy CPU has to give.
"""

import argparse
import os
import pickle
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mmpose_wloss.codecs import IntegralPose3DLabel
from mmpose_wloss.datasets.transforms.device_targets import draw_device_targets

import numpy as np
import torch
from json_rows import write_rows
from loss_overhead import synchronize
from mmengine.dataset import InfiniteSampler, pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS, TRANSFORMS
from tabulate import tabulate
from torch.utils.data import DataLoader

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'device_targets.json'
INPUT, HEATMAP = (192, 256), (48, 64)
HEATMAPS = dict(input_size=INPUT, heatmap_size=HEATMAP)
CASES = {
    'MSRA': dict(encoder=dict(type='MSRAHeatmap', sigma=2, **HEATMAPS)),
    'UDP': dict(encoder=dict(type='UDPHeatmap', sigma=2, **HEATMAPS)),
    'Megvii': dict(encoder=dict(type='MegviiHeatmap', kernel_size=11, **HEATMAPS)),
    # as RTMPose's
    'SimCC': dict(encoder=dict(
        type='SimCCLabel', input_size=INPUT, sigma=(4.9, 5.66),
        simcc_split_ratio=2., normalize=False)),
}
INTEGRAL = dict(input_size=INPUT, heatmap_size=(*HEATMAP, 64))
STEPS = ('GenerateTarget', 'DeviceTargets')


class Training:
    """A small network and its data, with stock or with drawn targets."""

    def __init__(self, kind: str, case: dict, args: argparse.Namespace):
        self.args = args
        encoder = case['encoder']
        self.step = TRANSFORMS.build(dict(type=kind, **case))
        self.pack = TRANSFORMS.build(dict(type='PackPoseInputs'))
        self.dataset = DATASETS.build(dict(
            type='CocoDataset', ann_file=args.annotations,
            data_prefix=dict(img=args.images), pipeline=[
                dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
                dict(type='RandomFlip', direction='horizontal'),
                dict(type='RandomBBoxTransform'),
                dict(type='TopdownAffine', input_size=INPUT,
                     use_udp=encoder['type'] == 'UDPHeatmap')]))
        transforms = self.dataset.pipeline.transforms
        self.people = [self.dataset[index] for index in range(args.batch)]
        transforms += [self.step, self.pack]
        self.samples = pseudo_collate(
            [self.dataset[index] for index in range(args.batch)])
        head = dict(
            type='RTMCCHead', input_size=INPUT, in_featuremap_size=(6, 8),
            simcc_split_ratio=2., final_layer_kernel_size=7,
            gau_cfg=dict(hidden_dims=64, s=32, expansion_factor=2, dropout_rate=0.,
                         drop_path=0., act_fn='SiLU', use_rel_bias=False,
                         pos_enc=False),
            loss=dict(type='KLDiscretLoss', use_target_weight=True, beta=10.,
                      label_softmax=True),
        ) if encoder['type'] == 'SimCCLabel' else dict(
            type='HeatmapHead', deconv_out_channels=(32, 32, 32),
            deconv_kernel_sizes=(4, 4, 4),
            loss=dict(type='KeypointMSELoss', use_target_weight=True))
        self.model = MODELS.build(dict(
            type='TopdownPoseEstimator', data_preprocessor=dict(
                type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
            backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8),
            head=dict(head, in_channels=64, out_channels=17, decoder=encoder),
            train_cfg=dict(compute_acc=False))).to(args.device).train()
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def make(self) -> None:
        """The step of each sample in the worker."""
        for one in self.people:
            self.step(dict(one))

    def draw(self) -> None:
        """A batch's targets, to the device that they are needed on."""
        data = self.copied()
        draw_device_targets(data['data_samples'], self.args.device)
        self.model.data_preprocessor.cast_data(data['data_samples'])

    def copied(self) -> dict:
        samples = [sample.clone() for sample in self.samples['data_samples']]
        for sample in samples:
            # which draw_device_targets changes
            sample.gt_instance_labels = sample.gt_instance_labels.clone()
        return dict(inputs=self.samples['inputs'], data_samples=samples)

    def train(self, data: dict | None = None) -> None:
        """A step, of a batch that is there."""
        data = data or self.copied()
        draw_device_targets(data['data_samples'], self.args.device)
        losses = self.model(**self.model.data_preprocessor(data, True), mode='loss')
        self.optimizer.zero_grad()
        losses['loss_kpt'].backward()
        self.optimizer.step()

    def batches(self) -> Iterator[dict]:
        """Of one worker."""
        return iter(DataLoader(
            self.dataset, self.args.batch, num_workers=1, collate_fn=pseudo_collate,
            sampler=InfiniteSampler(self.dataset, shuffle=True, seed=0)))

    def bytes_of_labels(self) -> float:
        """Of a sample without its image, as it is pickled on its way."""
        return len(pickle.dumps(self.samples['data_samples'])) / self.args.batch


def clock(args: argparse.Namespace, *workers: int) -> float:
    """Seconds now, for the wall or of processors, of this process and workers."""
    synchronize(args.device)
    if args.clock == 'wall':
        return time.perf_counter()
    # user and system time, the 14th and the 15th
    ticks = sum(int(ticks) for worker in workers for ticks in Path(
        f'/proc/{worker}/stat').read_text().rpartition(')')[2].split()[11:13])
    return time.process_time() + ticks / os.sysconf('SC_CLK_TCK')


def in_turn(functions: dict[str, Callable[[], float]], rounds: int) -> dict:
    """What functions return in each round, after one round to warm up."""
    results = {name: [] for name in functions}
    for number in range(rounds + 1):
        order = list(functions.items())
        for name, function in order[::-1] if number % 2 else order:
            results[name].append(function())
    return {name: values[1:] for name, values in results.items()}


def seconds_of(function: Callable[[], None], args: argparse.Namespace) -> float:
    start = clock(args)
    function()
    return clock(args) - start


def seconds_fed(training: Training, use: Callable) -> float:
    """Seconds of batches from one worker, whose start does not count."""
    args, batches = training.args, training.batches()
    # a worker reads two batches ahead: as many are let pass
    for _ in range(3):
        use(training, next(batches))
    worker = batches._workers[0].pid
    start = clock(args, worker)
    for _ in range(args.batches):
        use(training, next(batches))
    seconds = clock(args, worker) - start
    batches._shutdown_workers()  # as garbage, 5 s would be waited
    return seconds


def compared(seconds: dict) -> tuple[float, list[float]]:
    """Median seconds of stock, and the ratio to it with its quartiles."""
    stock, drawn = (np.array(seconds[kind]) for kind in STEPS)
    return np.median(stock), np.quantile(drawn / stock, (0.5, 0.25, 0.75)).tolist()


def row(name: str, args: argparse.Namespace) -> dict:
    trainings = {kind: Training(kind, CASES[name], args) for kind in STEPS}
    result = dict(targets=name, **{
        f'bytes_{kind}': each.bytes_of_labels() for kind, each in trainings.items()})

    for what, seconds in dict(
            worker_step=lambda each: seconds_of(each.make, args),
            targets_to_device=lambda each: seconds_of(each.draw, args),
            training_step=lambda each: seconds_of(each.train, args),
            loader=lambda each: seconds_fed(each, lambda *_: None),
            training=lambda each: seconds_fed(each, Training.train)).items():
        result[what], result[f'{what}_ratio'] = compared(in_turn(
            {kind: partial(seconds, each) for kind, each in trainings.items()},
            args.rounds))
    return result


def integral(args: argparse.Namespace) -> dict:
    """Seconds of heatmaps and volumes of a batch, and bytes of labels and these."""
    codec = IntegralPose3DLabel(**INTEGRAL)
    labels = torch.rand(args.batch, 17, 3, device=args.device)

    def draw() -> None:
        codec.heatmaps(labels)
        codec.volumes(labels)

    seconds = in_turn(dict(draw=lambda: seconds_of(draw, args)), args.rounds)['draw']
    width, height, depth = codec.heatmap_size
    return dict(targets='integral 3D, d64', seconds=np.median(seconds),
                bytes_of_labels=17 * 3 * 4,
                bytes_of_targets=17 * width * height * (depth + 1) * 4)


def text(result: dict, args: argparse.Namespace) -> dict:
    def ratio(what: str) -> str:
        return '{:.3f} ({:.3f} … {:.3f})'.format(*result[f'{what}_ratio'])

    def both(what: str, count: int) -> str:
        milliseconds = 1e3 * result[what] / count
        return f'{milliseconds:.3f} → {milliseconds * result[f"{what}_ratio"][0]:.3f}'

    samples = args.batch * args.batches
    return {
        'targets': result['targets'],
        'worker, ms a sample': both('worker_step', args.batch),
        'labels, bytes a sample': f'{result["bytes_GenerateTarget"]:.0f} → '
                                  f'{result["bytes_DeviceTargets"]:.0f}',
        'to the device, ms a batch': both('targets_to_device', 1),
        'loader, samples/s': samples / result['loader'],
        'time over stock': ratio('loader'),
        'step, ms': 1e3 * result['training_step'],
        'time over stock ': ratio('training_step'),
        'training, samples/s': samples / result['training'],
        'time over stock  ': ratio('training')}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--annotations', default=str(
        ROOT / 'data/annypose/annotations/person_keypoints_train.json'),
        help='in the format of COCO')
    parser.add_argument('--images', default=str(ROOT / 'data/annypose/train'),
                        help='their folder')
    parser.add_argument('--cases', nargs='+', choices=CASES, default=list(CASES))
    parser.add_argument('--device', type=torch.device, default='cpu')
    parser.add_argument('--clock', choices=('wall', 'processor'), default='wall')
    parser.add_argument('--rounds', type=int, default=8)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--batches', type=int, default=6)
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args()
    init_default_scope('mmpose')
    rows = [row(name, args) for name in args.cases]
    print(tabulate([text(each, args) for each in rows], 'keys',
                   tablefmt='github', floatfmt='.3g'))
    volumes = integral(args)
    print(volumes)
    write_rows(args.out, dict(
        rounds=args.rounds, batch=args.batch, device=str(args.device),
        clock=args.clock,
        threads=torch.get_num_threads(), torch=torch.__version__,
        python=platform.python_version(), rows=[*rows, volumes]))


if __name__ == '__main__':
    main()
