"""Images per second of a whole PoseDual training, beside the original code.

From files on disk to the step of the optimizer: ResNet-18 at 256 × 192, joint
cutout, as many labeled as unlabeled images. The people are the same for all: those
of a COCO annotation file, as often as they are needed. Each training is a process
of its own. Rounds go over them in turn, every other one backwards; the others stand
still meanwhile. A ratio is the median over rounds, with its quartiles.

The original code is not part of this project, and runs where --original names a
clone of it:

    git clone https://github.com/xierc/Semi_Human_Pose
    pip install easydict json_tricks

It needs old packages and a GPU: what stands in for them is in ``train_original``.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import mmpose_wloss
from mmpose_wloss.common.files import existing_file, read_json
from mmpose_wloss.compat.freed_memory import keep_freed_memory
from mmpose_wloss.recipes import cache_crops, device_targets

import numpy as np
import torch
from json_rows import RESULTS, write_rows
from loss_overhead import CLOCKS
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from semi_step import ROOT, ratios, text
from tabulate import tabulate

FILE = RESULTS / 'end_to_end.json'
ANNOTATIONS = 'annotations/person_keypoints_train2017.json'
EXPERIMENT = ('experiments/mix_coco_coco/res18/'
              '256x192_COCO1K_PoseDual_JointCutout.yaml')
OURS, STOCK = 'posedual_res18_coco1k_jointcutout', 'supervised_res18_coco1k'
# as keep_freed_memory() has it, for the original
KEEP_MEMORY = dict(MALLOC_MMAP_MAX_='0', MALLOC_TRIM_THRESHOLD_='16000000000')


class Turns:
    """Lets a training wait for its turn after each round of steps.

    Args:
        connection (Connection): Takes the seconds of a round, and gives the word
            to go on.
        args (Namespace): How many ``steps`` of a round count, after one that does
            not, and by which ``clock``.
    """

    def __init__(self, connection: Connection, args: argparse.Namespace):
        self.connection, self.steps = connection, args.steps
        self.clock = CLOCKS[args.clock]
        self.marks = []

    def requested(self) -> None:
        """A batch is asked for, and so the step before has ended."""
        self.marks.append(self.clock())
        if len(self.marks) == 2 * self.steps + 3:
            requests, arrivals = self.marks[2::2], self.marks[3::2]
            self.connection.send(dict(
                whole=requests[-1] - requests[0],
                loading=sum(arrivals) - sum(requests[:-1])))
            if not self.connection.recv():
                raise SystemExit
            self.marks = [self.clock()]

    def arrived(self) -> None:
        """The batch is there."""
        self.marks.append(self.clock())

    def taken(self, batches) -> Iterator:
        """The batches of a loader."""
        batches = iter(batches)
        while True:
            self.requested()
            batch = next(batches)
            self.arrived()
            yield batch


def write_people(data: Path, folder: Path) -> None:
    """Write the annotations of labeled people, where both codes look for them."""
    content = read_json(data / ANNOTATIONS)
    content['annotations'] = [
        one for one in content['annotations']
        if one.get('num_keypoints') and not one['iscrowd'] and one['area'] > 0]
    file = folder / 'coco' / ANNOTATIONS
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))
    file.parents[1].joinpath('images').symlink_to(data.resolve())


def train_mmpose(connection: Connection, name: str, folder: Path,
                 args: argparse.Namespace, everything: bool = False) -> None:
    """Train a config, as ``python -m mmpose_wloss train`` does, or stock tools."""
    if name == OURS:
        keep_freed_memory()
    turns = Turns(connection, args)

    class TurnsHook(Hook):
        priority = 'LOWEST'

        def before_train_epoch(self, runner) -> None:
            turns.requested()

        def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
            turns.arrived()

        def after_train_iter(self, runner, *_, **__) -> None:
            turns.requested()

    config = Config.fromfile(str(ROOT / 'configs' / f'{name}.py'))
    model, loader = config.model.get('network', config.model), config.train_dataloader
    model.backbone.init_cfg = None
    config.model.pop('init_cfgs', None)
    config.log_level = 'WARNING'
    for dataset in loader.dataset.get('datasets', [loader.dataset]):
        dataset.update(ann_file=ANNOTATIONS, data_root=str(folder / 'coco'),
                       data_prefix=dict(img='images/train2017/'))
    loader.batch_size = 2 * args.batch
    if 'batch_size' in loader.sampler:
        loader.sampler.batch_size = loader.batch_size
    loader.update(num_workers=args.workers, persistent_workers=args.workers > 0)
    config.train_cfg.max_epochs = 1
    config.default_hooks.checkpoint = None
    for part in ('val', 'test'):
        for key in ('cfg', 'dataloader', 'evaluator'):
            config[f'{part}_{key}'] = None
    config.work_dir, config.experiment_name = str(folder / 'ours'), name
    if everything:
        config = device_targets(cache_crops(config, 'ram'))
        config.model.channels_last = True
        config.optim_wrapper.type = 'Bfloat16OptimWrapper'
    runner = Runner.from_cfg(config)
    runner.register_hook(TurnsHook())
    sampler = runner.train_loop.dataloader.sampler
    sampler.num_samples = sampler.total_size = 2 * args.batch * args.all_steps
    runner.train()


def train_original(connection: Connection, folder: Path,
                   args: argparse.Namespace) -> None:
    """Train the original code's PoseDual, as its ``train.py`` does.

    Only what today's packages or a machine without a GPU lack is stood in for.
    """
    import yaml

    for name in ('cpu_nms', 'gpu_nms'):  # compiled, for evaluation alone
        sys.modules[f'nms.{name}'] = ModuleType(name)
        setattr(sys.modules[f'nms.{name}'], name, None)
    np.float, yaml.load = float, partial(yaml.load, Loader=yaml.SafeLoader)
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor
    sys.path.insert(0, str(args.original / 'lib'))
    import dataset
    import models.pose_dual
    from core.config import config, update_config
    from core.function import train
    from core.loss import PoseCoLoss
    from torchvision import transforms
    from utils.utils import get_optimizer

    update_config(args.original / EXPERIMENT)
    config.DATASET.ROOT = str(folder)
    config.MODEL.INIT_WEIGHTS = False
    data = dataset.mix_coco_coco(
        config, config.DATASET.ROOT, config.DATASET.TRAIN_SET, True,
        transforms.Compose([
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406],
                                 std=[0.229, 0.224, 0.225])]))
    loader = torch.utils.data.DataLoader(
        data, args.batch, num_workers=args.workers,
        sampler=torch.utils.data.RandomSampler(
            data, num_samples=args.batch * args.all_steps))
    turns = Turns(connection, args)

    class Batches:

        def __iter__(self) -> Iterator:
            return turns.taken(loader)

        def __len__(self) -> int:
            return len(loader)

    model = models.pose_dual.get_pose_net(config, is_train=True)
    criterion = PoseCoLoss(config.LOSS.USE_TARGET_WEIGHT, config)
    optimizer = get_optimizer(config, list(model.parameters()))
    train(config, Batches(), model, criterion, optimizer, 0, '', '', None)


# row: the function, its further arguments, and its environment
ROWS = {
    'original': (train_original, (), {}),
    'original, memory kept': (train_original, (), KEEP_MEMORY),
    'ours': (train_mmpose, (OURS, ), {}),
    'ours, everything on': (train_mmpose, (OURS, True), {}),
    'stock, supervised': (train_mmpose, (STOCK, ), {}),
}


def start(row: str, folder: Path, args: argparse.Namespace) -> Connection:
    """Start a training, which waits after its first round of steps."""
    function, further, environment = ROWS[row]
    context = get_context('spawn')
    here, there = context.Pipe()
    old = dict(os.environ)
    os.environ.update(environment, OMP_NUM_THREADS=str(args.threads))
    try:
        context.Process(target=run, args=(
            function, there, *further[:1], folder, args, *further[1:])).start()
    finally:
        os.environ.clear()
        os.environ.update(old)
    there.close()
    return here


def run(function, connection: Connection, *arguments) -> None:
    """Run a training in its process."""
    args = next(one for one in arguments if isinstance(one, argparse.Namespace))
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    # what it tells goes to stderr, and the table alone to stdout
    os.dup2(2, 1)
    function(connection, *arguments)


def measure(trainings: dict[str, Connection], rounds: int) -> dict[str, list[dict]]:
    """Seconds of each training in each round."""
    for training in trainings.values():
        training.recv()
    result = {row: [] for row in trainings}
    for number in range(rounds):
        for row in list(trainings)[::1 if number % 2 else -1]:
            # the workers of the one before still fill their queue
            time.sleep(1)
            trainings[row].send(True)
            result[row].append(trainings[row].recv())
            print(f'round {number + 1} of {rounds}: {row}', file=sys.stderr)
    for training in trainings.values():
        training.send(False)
    return result


def summary(seconds: dict[str, list[dict]], images: int) -> dict[str, dict]:
    """The rows: images per second, milliseconds an image, ratios."""
    rows = {}
    whole = {row: [one['whole'] for one in rounds] for row, rounds in seconds.items()}
    for row, rounds in seconds.items():
        rows[row] = dict(
            images_per_second=images / statistics.median(whole[row]),
            loading=1e3 / images * statistics.median(
                one['loading'] for one in rounds),
            step=1e3 / images * statistics.median(
                one['whole'] - one['loading'] for one in rounds))
        for base in ('original', 'ours'):
            if base in seconds:
                rows[row][f'over_{base}'] = ratios(whole[base], whole[row])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data', type=Path, default=Path('data/coco'),
                        help='COCO data: annotations/ and train2017/')
    parser.add_argument('--original', type=Path,
                        help="a clone of the original code's repository")
    parser.add_argument('--rows', nargs='+', choices=ROWS, default=list(ROWS))
    parser.add_argument('--batch', type=int, default=8,
                        help='labeled images, and as many unlabeled ones')
    parser.add_argument('--workers', type=int, default=2, help='of each loader')
    parser.add_argument('--threads', type=int, default=2, help='of each training')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--steps', type=int, default=3, help='of a round')
    parser.add_argument('--clock', choices=CLOCKS, default='wall',
                        help='cpu: of one thread, without workers')
    args = parser.parse_args()
    if args.clock == 'cpu' and (args.threads != 1 or args.workers):
        parser.error('--clock cpu needs --threads 1 --workers 0')
    args.all_steps = (args.rounds + 1) * (args.steps + 1) + 1
    existing_file(args.data / ANNOTATIONS)
    originals = [row for row in args.rows if row.startswith('original')]
    if args.original is None and originals:
        print('Without the original code, which --original names: git clone '
              'https://github.com/xierc/Semi_Human_Pose', file=sys.stderr)
        args.rows = [row for row in args.rows if row not in originals]

    with tempfile.TemporaryDirectory() as folder:
        write_people(args.data, Path(folder))
        seconds = measure({row: start(row, Path(folder), args)
                           for row in args.rows}, args.rounds)
    rows = summary(seconds, 2 * args.batch * args.steps)
    print(tabulate(
        [[row, f'{one["images_per_second"]:.2f}', f'{one["loading"]:.1f}',
          f'{one["step"]:.1f}', *(text(one[key]) if key in one else '' for key in
                                  ('over_original', 'over_ours'))]
         for row, one in rows.items()],
        ['training', 'images/s', 'waits for images, ms each', 'step, ms an image',
         'over the original', 'over ours'], tablefmt='github'))
    content = (json.loads(FILE.read_text()) if FILE.exists()
               else dict(format=1, workers={}))
    content['workers'][str(args.workers)] = dict(
        rows=rows, batch=[args.batch, args.batch], threads=args.threads,
        clock=args.clock, rounds=args.rounds, steps=args.steps, versions=dict(
            torch=torch.__version__, python=platform.python_version(),
            mmpose_wloss=mmpose_wloss.__version__))
    write_rows(FILE, content, levels=4)


if __name__ == '__main__':
    main()
