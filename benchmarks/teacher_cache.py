"""What cached targets save of a training step of a student.

In each round come a step with the teacher and one with its cached targets, of
the same student on the same images, and loading the images of a step without
and with targets. Every other round goes backwards; a ratio is the median over
rounds, with its quartiles.
"""

import argparse
import json
import logging
import platform
import statistics
import tempfile
from pathlib import Path

import mmpose_wloss
from mmpose_wloss.engine.teacher_cache import cache_teacher

import cv2
import numpy as np
import torch
from loss_overhead import measure
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS
from semi_step import RESULTS, ROOT, ratios, text
from tabulate import tabulate
from torch import nn

CONFIG = 'configs/hourglass_mobile_s2_fpd_mpii.py'
LOADINGS = 20


class Bench:
    """A student with a teacher and with its cached targets.

    Args:
        folder (Path): Where images, weights and targets go.
        stacks (int): Of the teacher.
        images (int): Number of images.
        batch (int): Images of a step.
    """

    def __init__(self, folder: Path, stacks: int, images: int, batch: int):
        config = Config.fromfile(str(ROOT / CONFIG))
        teacher = config.model.teacher
        teacher.backbone.num_stacks = teacher.head.num_stages = stacks
        size = config.model.student.head.decoder.input_size
        write_images(folder / 'images', images, size)
        self.pipeline = [
            dict(type='LoadImage'), dict(type='GetBBoxCenterScale'),
            dict(type='TopdownAffine', input_size=size)]
        self.load = [dict(type='LoadTeacherTargets',
                          cache=str(folder / 'cache'))]
        self.folder, self.batch = folder, batch

        config.model.teacher_checkpoint = str(folder / 'teacher.pth')
        torch.save(untrained(teacher, size).state_dict(),
                   config.model.teacher_checkpoint)
        config.train_dataloader.dataset = self.dataset()
        self.summary = cache_teacher(
            config, str(folder / 'cache'), batch_size=batch)
        self.models = {}
        for name, cache in (('teacher', None), ('cache', self.load[0])):
            torch.manual_seed(0)
            model = MODELS.build(dict(
                config.model, teacher_cache=cache and cache['cache']))
            model.init_weights()
            self.models[name] = model.train()
        self.datasets = {name: DATASETS.build(self.dataset(*steps))
                         for name, steps in (('teacher', ()),
                                             ('cache', self.load))}

    def dataset(self, *steps: dict) -> dict:
        return dict(
            type='UnlabeledPoseDataset',
            metainfo=dict(from_file='configs/_base_/datasets/mpii.py'),
            data_prefix=dict(img=str(self.folder / 'images')),
            pipeline=[*self.pipeline, *steps,
                      dict(type='PackSemiSupervisedPoseInputs')])

    def loading(self, name: str) -> dict:
        """Load the images of a step."""
        dataset = self.datasets[name]
        return pseudo_collate([dataset[index] for index in range(self.batch)])

    def step(self, model: nn.Module, batch: dict) -> None:
        """A step, without the optimizer's."""
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
        model.parse_losses(losses)[0].backward()
        model.zero_grad(set_to_none=True)


def untrained(config: dict, size: tuple[int, int]) -> nn.Module:
    """A network whose normalization keeps what it predicts in bounds."""
    network = MODELS.build(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(2, 3, *size[::-1]), None)
    return network


def write_images(folder: Path, count: int, size: tuple[int, int]) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        image = rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f'{index:04d}.jpg'),
                    cv2.GaussianBlur(image, (9, 9), 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--batch', type=int, default=4, help='images of a step')
    parser.add_argument('--images', type=int, default=16, help='to cache')
    parser.add_argument('--stacks', type=int, default=8, help='of the teacher')
    args = parser.parse_args()
    if args.images < args.batch:
        parser.error('--images must be at least --batch')
    logging.disable(logging.INFO)
    init_default_scope('mmpose')
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.stacks, args.images, args.batch)
        functions = {}
        for name, model in bench.models.items():
            batch = bench.loading(name)
            functions[name, 'step'] = (
                lambda model=model, batch=batch: bench.step(model, batch))
            # too short to be measured alone
            functions[name, 'loading'] = lambda name=name: [
                bench.loading(name) for _ in range(LOADINGS)]
        seconds = measure(functions, args.rounds, torch.device('cpu'), 'rounds')
    for (_, what), values in seconds.items():
        if what == 'loading':
            values[:] = [value / LOADINGS for value in values]

    milliseconds = {' '.join(key): 1e3 * statistics.median(values)
                    for key, values in seconds.items()}
    totals = {name: [step + loading for step, loading in zip(
        seconds[name, 'step'], seconds[name, 'loading'], strict=True)]
              for name in bench.models}
    row = dict(
        milliseconds=milliseconds,
        step=ratios(seconds['teacher', 'step'], seconds['cache', 'step']),
        step_and_loading=ratios(totals['teacher'], totals['cache']),
        kilobytes=bench.summary['bytes'] / args.images / 1e3,
        caching=1e3 * bench.summary['seconds'] / args.images)
    print(tabulate(
        [['step, ms', f'{milliseconds["teacher step"]:.0f}',
          f'{milliseconds["cache step"]:.0f}', text(row['step'])],
         ['loading its images, ms', f'{milliseconds["teacher loading"]:.1f}',
          f'{milliseconds["cache loading"]:.1f}', ''],
         ['both', '', '', text(row['step_and_loading'])]],
        ['', 'with the teacher', 'with its cache', 'ratio'],
        tablefmt='github'))
    print(f'{row["kilobytes"]:.0f} kB for each image, {row["caching"]:.0f} ms '
          'to compute them once')
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / 'teacher_cache.json').write_text(json.dumps(dict(
        format=1, config=CONFIG, stacks=args.stacks, batch=args.batch,
        rounds=args.rounds, images=args.images, row=row,
        threads=torch.get_num_threads(),
        versions=dict(torch=torch.__version__,
                      python=platform.python_version(),
                      mmpose_wloss=mmpose_wloss.__version__)), indent=1) + '\n')


if __name__ == '__main__':
    main()
