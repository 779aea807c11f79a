"""``python -m mmpose_wloss demo``: what unbalanced training costs, and what helps."""

import argparse
import time
from pathlib import Path

from .. import register_all_modules
from ..common.configs import annotation_files
from ..common.errors import MissingFile
from ..common.files import digest_of_files

# rare poses are told apart in the test set
DENSITY = 'work_dirs/pose_density/annypose_train.npz'
RARITY = {'val_evaluator': [dict(
    type='PoseRarityMetric', file=DENSITY, metric=dict(
        type='CocoMetric', ann_file='data/annypose/annotations/'
        'person_keypoints_val.json'))]}
SHORT = {**RARITY, 'train_cfg.max_epochs': 8, 'train_cfg.val_interval': 2,
         'param_scheduler.1.end': 8}
EQUAL = {'model.head.mode': 'manual', 'model.head.balancer': dict(
    type='ManualBalancer', ratios=dict(
        heatmap2d=1., heatmap3d=1., joint2d_from_volume=1., depth_from_volume=1.,
        joint2d_from_heatmap=1.))}
AP = {'coco/AP': ('AP', False)}
# of the baseline and of the method, in the demo
FIRST = {
    'rare_poses': dict(
        baseline='all poses drawn equally often', method='rare poses drawn more often',
        configs=('resnet18_mse_annypose', 'resnet18_drawn_annypose'),
        options=(SHORT, SHORT), figures={
            'rare/error': ('error of the rarest tenth, % of the box', True),
            'common/error': ('error of the common half, % of the box', True),
            'error': ('error of all, % of the box', True), **AP}),
}
# and those that --full adds
MORE = {
    'few_labels': dict(
        baseline='50 labels alone', method='and 800 images without labels',
        configs=('few_labels_resnet18_annypose',
                 'few_labels_posecons_resnet18_annypose'), figures=AP),
    'fast_model': dict(
        baseline='small network, labels alone', method='taught by a larger one',
        configs=('hourglass_mobile_s2_annypose', 'hourglass_mobile_s2_fpd_annypose'),
        teacher='hourglass_s4_annypose', figures=AP),
    'losses_that_fight': dict(
        baseline='equal weights', method='adaptive balancing',
        configs=('integral3d_i1_d16_annypose', 'integral3d_i1_d16_annypose'),
        options=(EQUAL, {}), figures={'MPJPE': ('MPJPE, mm', True)}, heatmaps=False),
    'background': dict(
        baseline='MSE', method='focal MSE',
        configs=('resnet18_mse_annypose', 'resnet18_fmse_annypose'), figures=AP),
}


def main(arguments: list[str] | None = None) -> int:
    """Train a comparison or all of them, and write a page."""
    parser = argparse.ArgumentParser(
        prog='mmpose_wloss demo', description='Train two small networks, one of '
        'which sees rare poses more often, and write a page that shows what '
        'unbalanced training costs and what helps. Interrupted, the same command '
        'goes on from there.')
    parser.add_argument('--work-dir', default='work_dirs/demo',
                        help='where checkpoints, logs and the page go')
    parser.add_argument('--processes', type=int, default=2,
                        help='processes that render and train')
    parser.add_argument('--full', action='store_true',
                        help='train all five comparisons: half an hour on two cores')
    args = parser.parse_args(arguments)

    register_all_modules()
    from ..apis.demo_report import figures_table, write_report
    from ..trainings import run_trainings
    from . import density, render

    start = time.monotonic()
    folder, work_dir = demo_configs(), Path(args.work_dir)
    print('1/3 rendering 2,400 images, once')
    render.main(['dataset', '--workers', str(args.processes)])
    if not has_density(drawn := folder / 'resnet18_drawn_annypose.py'):
        density.main(['fit', str(drawn)])
    comparisons = comparisons_of(FIRST | MORE if args.full else FIRST, folder, work_dir)
    print('2/3 training')
    run_trainings([each for each in with_teachers(comparisons) if not each.done()],
                  args.processes)
    print('3/3 drawing the page')
    report = write_report(comparisons, work_dir)
    print(f'\n{figures_table(comparisons)}\n\nready after '
          f'{(time.monotonic() - start) / 60:.1f} minutes. Open {report} in a browser')
    return 0


def has_density(config: Path) -> bool:
    """Whether the density is there, and of the poses as they are annotated now."""
    from mmengine.config import Config

    from ..pose_density import PoseDensityArtifact

    if not Path(DENSITY).exists():
        return False
    files = annotation_files(Config.fromfile(config).train_dataloader.dataset)
    return (PoseDensityArtifact.load(DENSITY).annotation_digest
            == digest_of_files(files))


def comparisons_of(described: dict[str, dict], folder: Path, work_dir: Path) -> dict:
    """The comparisons with their trainings, by the problem's name."""
    from ..apis.demo_report import Comparison
    from ..trainings import Training

    def training(name: str, options: dict, teacher: str | None) -> Training:
        return Training(
            str(folder / f'{name}.py'), str(work_dir), options,
            after=teacher and training(teacher, {}, None),
            checkpoint_key='model.teacher_checkpoint')

    found = {}
    for name, each in described.items():
        each = dict(each)
        configs, teacher = each.pop('configs'), each.pop('teacher', None)
        options = each.pop('options', ({}, {}))
        found[name] = Comparison(**each, trainings=(
            training(configs[0], options[0], None),
            training(configs[1], options[1], teacher)))
    return found


def with_teachers(comparisons: dict) -> list:
    """All trainings, each once and after its teacher."""
    trainings = [each for comparison in comparisons.values()
                 for training in comparison.trainings
                 for each in (training.after, training) if each]
    return list({each.work_dir: each for each in trainings}.values())


def demo_configs() -> Path:
    """The folder of the demo's configs, of a checkout or as installed."""
    package = Path(__file__).resolve().parents[1]
    for root in (package.parent, package / '.mim'):
        if (root / 'configs' / 'demo').is_dir():
            return root / 'configs' / 'demo'
    raise MissingFile(f'{package} has no configs/demo beside it, nor in .mim')
