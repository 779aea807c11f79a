"""Whether a training of one stack resumes on another, for each family.

    python benchmarks/resume_across.py OLD/bin/python NEW/bin/python

Each family trains an epoch on the first stack, and ends its second epoch there
and on the other stack, from the same checkpoint; then the other way round. A
row holds the loss of each step of the second epoch on both stacks. Rows of
families that were run before are kept, unless they are named again.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from json_rows import write_rows
from mmengine.config import Config
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results' / 'resume_across.json'
CONFIGS = ROOT / 'configs'
ANNYPOSE = {
    f'{split}_dataloader.dataset.{key}': value
    for split in ('train', 'val') for key, value in (
        ('data_root', 'data/annypose/'), ('data_prefix.img', f'{split}/'),
        ('ann_file', f'annotations/person_keypoints_{split}.json'))}
STOCK = {
    **ANNYPOSE, 'model.backbone.init_cfg': None,
    'train_dataloader.num_workers': 0, 'val_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.persistent_workers': False,
    'val_evaluator.ann_file':
    'data/annypose/annotations/person_keypoints_val.json'}
# of each family its config, and what differs for few images
FAMILIES = {
    'heatmap loss': ('demo/resnet18_fmse_annypose', {}),
    'pose density': ('demo/resnet18_wloss_annypose', {}),
    'DeepPose': ('demo/deeppose_resnet18_wloss_annypose', {}),
    'PoseDual': ('demo/posedual_resnet18_annypose', {
        'train_dataloader.sampler.batch_size': 8,
        'train_dataloader.dataset.datasets.0.indices': 12,
        'train_dataloader.dataset.datasets.1.indices': 24}),
    'hourglass': ('demo/hourglass_s4_annypose', {}),
    'distillation': ('demo/hourglass_mobile_s2_fpd_annypose', {
        'model.teacher_checkpoint': 'hourglass/epoch_1.pth'}),
    'integral 3D': ('demo/integral3d_i1_d8_annypose', {}),
    'SimCC': ('rtmpose-s_wloss_coco', STOCK),
    'balanced DEKR': ('dekr_balanced_coco', {
        **STOCK, 'model.head.head.rescore_cfg.init_cfg': None,
        'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.indices': 4,
        'val_dataloader.dataset.indices': 2}),
}


class Stack:
    """The Python of a stack, and what it runs.

    Args:
        python (str): Its path.
        folder (Path): Where everything is read and written.
    """

    def __init__(self, python: str, folder: Path):
        self.python, self.folder = python, folder
        self.name = self.run('-c', (
            'import platform, numpy, torch; print(f"Python '
            '{platform.python_version()}, torch {torch.__version__}, '
            'NumPy {numpy.__version__}")')).splitlines()[-1]

    def run(self, *command: str) -> str:
        """What a command of this stack prints.

        Raises:
            RuntimeError: If it fails, with the end of what it printed.
        """
        result = subprocess.run(
            [self.python, *map(str, command)], cwd=self.folder, text=True,
            env=dict(os.environ, PYTHONPATH=str(ROOT)), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        if result.returncode:
            raise RuntimeError(f'{self.name}: {" ".join(map(str, command))} '
                               f'failed:\n{result.stdout[-3000:]}')
        return result.stdout

    def train(self, family: str, work_dir: str, epochs: int, *resume: str
              ) -> list[float]:
        """Train to the end of an epoch.

        Returns:
            list[float]: The loss of each step of that epoch.
        """
        self.run(ROOT / 'tools' / 'train.py', f'{family}.py', '--work-dir',
                 work_dir, *resume, '--cfg-options',
                 f'train_cfg.max_epochs={epochs}')
        log = max((self.folder / work_dir).glob('*/vis_data/scalars.json'))
        rows = map(json.loads, log.read_text().splitlines())
        return [row['loss'] for row in rows if row.get('epoch') == epochs]


def write_config(family: str, folder: Path) -> Config:
    """Write a family's whole config for few images."""
    name, options = FAMILIES[family]
    config = Config.fromfile(str(ROOT / 'configs' / f'{name}.py'))
    config.merge_from_dict({
        'train_dataloader.batch_size': 8, 'default_hooks.logger.interval': 1,
        'train_cfg.val_interval': 1, **options})
    pipeline = config.train_dataloader.dataset.get('pipeline', [])
    # needs a package that no stack here has
    pipeline[:] = [transform for transform in pipeline
                   if transform['type'] != 'Albumentation']
    config.dump(str(folder / f'{file_name(family)}.py'))
    return config


def file_name(family: str) -> str:
    return family.replace(' ', '_')


def resume(family: str, writer: Stack, reader: Stack, folder: Path) -> dict:
    """One row: an epoch by the writer, the next one by both."""
    start = time.monotonic()
    name = file_name(family)
    shutil.rmtree(folder / name, ignore_errors=True)
    config = write_config(family, folder)
    if 'pose_density' in config:
        writer.run('-m', 'mmpose_wloss', 'density', 'fit', f'{name}.py')
    writer.train(name, name, 1)
    shutil.rmtree(folder / 'elsewhere', ignore_errors=True)
    shutil.copytree(folder / name, folder / 'elsewhere')
    (folder / 'elsewhere' / 'last_checkpoint').write_text(
        str(folder / 'elsewhere' / 'epoch_1.pth'))
    return dict(
        family=family, config=FAMILIES[family][0], written_on=writer.name,
        resumed_on=reader.name, loss_there=writer.train(
            name, name, 2, '--resume'),
        loss_here=reader.train(name, 'elsewhere', 2, '--resume'),
        seconds=round(time.monotonic() - start, 1))


def differences(row: dict) -> tuple[float, float]:
    """Relative difference of the loss between both stacks: first step, largest."""
    pairs = list(zip(row['loss_there'], row['loss_here'], strict=True))
    if not pairs:
        raise ValueError(f'{row["family"]} logged no step')
    steps = [abs(here - there) / abs(there) for there, here in pairs]
    return steps[0], max(steps)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('pythons', nargs=2, metavar='PYTHON')
    parser.add_argument('--families', nargs='+', choices=FAMILIES,
                        help='those to run; those without rows by default')
    args = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        stacks = [Stack(os.path.abspath(python), folder)
                  for python in args.pythons]
        stacks[0].run('-m', 'mmpose_wloss', 'render', 'dataset', '--train', '24',
                      '--val', '8', '--size', '128')
        for family in FAMILIES:
            for writer, reader in (stacks, stacks[::-1]):
                key = family, writer.name, reader.name
                known = [row for row in rows if key == (
                    row['family'], row['written_on'], row['resumed_on'])]
                if family not in (args.families or
                                  ([] if known else [family])):
                    continue
                row = resume(family, writer, reader, folder)
                rows = [other for other in rows if other not in known] + [row]
                write_rows(RESULTS, rows)
                print(f'{family}: {writer.name} to {reader.name}, losses differ '
                      f'by up to {differences(row)[1]:.1e}', flush=True)
    print(tabulate(
        [(row['family'], row['written_on'], row['resumed_on'],
          *(f'{step:.1e}' for step in differences(row))) for row in rows],
        headers=('family', 'written on', 'resumed on',
                 'loss differs, first step', 'largest'), tablefmt='github',
        disable_numparse=True))


if __name__ == '__main__':
    sys.exit(main())
