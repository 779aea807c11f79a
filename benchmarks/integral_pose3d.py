"""How the balance of five losses, and depth that grows, decide on 3D poses.

Trains a network with ImageNet weights on 6,000 images of the embedded data set,
from where it has learned its 2D heatmaps: with each balancer, keeping every
term's weight and gradient norm over time; with 16 bins of depth at once, and
from 4 and 8 bins in as many steps, whose volume layer is drawn anew (as the
original code does) or interpolated. Errors are in mm, so a negative difference is
a gain. Before:
python benchmarks/imagenet_weights.py
python -m mmpose_wloss render dataset --out data/annypose_6000 --train 6000 --val 1000
"""

import json

from mmpose_wloss.models.heads.integral_pose3d_head import TERMS

import numpy as np
from figures import draw_comparison, draw_term_curves
from lspet import exit_without
from mmpose.evaluation.functional import keypoint_mpjpe
from study import ROOT, Study
from tabulate import tabulate

EPOCHS = 6
# so often the gradients' norms are measured, in iterations
INTERVAL = 20
START = '2D heatmaps alone'
HIPS = (11, 12)
FIGURES = {'MPJPE': 'MPJPE, mm', 'P-MPJPE': 'PA-MPJPE, mm'}


def balanced(mode: str, kind: str, **arguments) -> dict:
    return {
        'after': START, 'model.head.mode': mode,
        'model.head.balancer': dict(
            type=kind, grad_norm_interval=INTERVAL, **arguments)}


def manual(*ratios: float) -> dict:
    return balanced('manual', 'ManualBalancer',
                    ratios=dict(zip(TERMS, ratios, strict=True)))


def stage(depth: int, after: str, **options) -> dict:
    """A third of the epochs, with a schedule of their own."""
    return {
        'after': after, 'epochs': EPOCHS // 3,
        # a list, as JSON has it
        'model.head.decoder.heatmap_size': [16, 16, depth], **options}


BALANCERS = {
    'Equal weights': manual(1., 1., 1., 1., 1.),
    'Adaptive I1': balanced('I1', 'AdaptiveBalancer'),
    'Adaptive H1': balanced('H1', 'AdaptiveBalancer'),
    # the original code's for 16 bins of depth
    'Manual 1 : 0.3 : 1': manual(1., 0.3, 1., 1., 1.),
    'Uncertainty': {
        **balanced('I1', 'UncertaintyBalancer', log_variance='first_batch'),
        'optim_wrapper.paramwise_cfg': dict(custom_keys={
            'balancer.log_variance': dict(lr_mult=10., decay_mult=0.)})},
    'GradNorm': balanced('I1', 'GradNormBalancer'),
    'GradNorm from the first batch on': balanced(
        'I1', 'GradNormBalancer', weights='first_batch'),
}
# of torchjd: one that weighs losses, and one that aggregates their gradients
TORCHJD = {
    # from equal weights on
    'DWA': balanced('I1', 'TorchJDBalancer', scalarizer='DWA', reduction='batch'),
    'UPGrad': {**BALANCERS['Equal weights'],
               'optim_wrapper.type': 'JacobianOptimWrapper',
               'optim_wrapper.aggregator': 'UPGrad'},
}
INTERPOLATED = {'model.head.depth_growth': 'interpolate'}
# together as many steps as 16 bins at once, which is Adaptive I1
DEPTHS = {
    '4 bins, H1': stage(4, START, **{'model.head.mode': 'H1'}),
    '8 bins, after 4': stage(8, '4 bins, H1'),
    '16 bins, after 4 and 8': stage(16, '8 bins, after 4'),
    '8 bins, after 4, interpolated': stage(8, '4 bins, H1', **INTERPOLATED),
    '16 bins, after 4 and 8, interpolated': stage(
        16, '8 bins, after 4, interpolated', **INTERPOLATED),
}
CONFIGURATIONS = {
    # those first that most hangs on
    START: {'config': 'configs/demo/efficientnet_lite0_mse_annypose.py', 'epochs': 2},
    **BALANCERS, **TORCHJD, **DEPTHS}
STUDY = Study(
    'integral_pose3d',
    config='configs/demo/efficientnet_lite0_integral3d_annypose.py',
    configurations=CONFIGURATIONS,
    # the interval of three pairs included 0
    seeds={**dict.fromkeys(CONFIGURATIONS, 3), 'Equal weights': 6, 'Adaptive I1': 6},
    epochs=EPOCHS,
    figures=FIGURES,
    scalars=[f'{figure}_{term}' for figure in ('weight', 'grad_norm', 'raw')
             for term in TERMS],
    comparisons=[
        *((name, 'Equal weights') for name in BALANCERS if name != 'Equal weights'),
        *((name, 'Equal weights') for name in TORCHJD),
        *((f'Adaptive {mode}', 'Equal weights', 'P-MPJPE') for mode in ('I1', 'H1')),
        ('Adaptive I1', 'Adaptive H1'),
        ('GradNorm from the first batch on', 'GradNorm'),
        ('16 bins, after 4 and 8', 'Adaptive I1'),
        ('16 bins, after 4 and 8, interpolated', 'Adaptive I1'),
        ('16 bins, after 4 and 8, interpolated', '16 bins, after 4 and 8')],
    page='docs/integral_pose3d.md')


def relative(poses: np.ndarray) -> np.ndarray:
    return poses - poses[:, HIPS].mean(1, keepdims=True)


def poses_of(split: str) -> np.ndarray:
    """Poses of the embedded data set in camera space in mm."""
    file = STUDY.annotations.with_name(f'person_keypoints_{split}.json')
    annotations = json.loads(file.read_text())['annotations']
    return np.array([each['keypoints_3d'] for each in annotations])


def baselines() -> str:
    """What needs no network, as Markdown: how small an error has to be."""
    truth = poses_of('val')
    mean = relative(poses_of('train')).mean(0)
    depth = truth[:, HIPS, 2].mean(1)[:, None, None]
    rays = truth / truth[..., 2:]
    guesses = {
        'the mean pose for everybody': np.broadcast_to(mean, truth.shape),
        'the true place in the image, nobody has depth': rays * depth,
        'the true place in the image, depth of the mean pose':
        rays * (depth + mean[:, 2:]),
    }
    visible = np.ones(truth.shape[:2], bool)
    return tabulate(
        [[name, *(keypoint_mpjpe(relative(guess), relative(truth), visible, how)
                  for how in ('none', 'procrustes'))]
         for name, guess in guesses.items()],
        ['without a network', *FIGURES.values()], tablefmt='github',
        floatfmt='.1f')


def draw() -> None:
    """Draw errors, and every term's weight and gradient norm over time."""
    rows = STUDY.by_configuration()
    for part, file, title in (
            (BALANCERS, 'loss_balancers_study', 'with each balancer'),
            ((*DEPTHS, 'Adaptive I1'), 'depth_growth',
             'with depth that grows, and with 16 bins at once')):
        there = {name: rows[name] for name in part if name in rows}
        if there:
            draw_comparison(
                {label: {name: {'seed': [row['figures'][key]
                                         for row in of_one]}
                         for name, of_one in there.items()}
                 for key, label in FIGURES.items()},
                str(ROOT / f'docs/images/{file}.png'),
                f'Error of 3D poses {title}', 'mm')
    draw_term_curves(
        {name: [row['scalars'] for row in rows[name]] for name in BALANCERS
         if name in rows},
        {'weight': 'weight', 'grad_norm': 'gradient norm'}, TERMS,
        str(ROOT / 'docs/images/loss_balancers_terms.png'))
    print('drawn: docs/images/loss_balancers_study.png, '
          'loss_balancers_terms.png and depth_growth.png')


if __name__ == '__main__':
    exit_without('weights', 'annypose_6000')
    STUDY.main()
    print('\nErrors: a negative difference is a gain.\n')
    print(baselines())
    if set(STUDY.by_configuration()) & set(BALANCERS):
        draw()
