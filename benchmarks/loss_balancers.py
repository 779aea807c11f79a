"""How the balance of five losses decides on 3D poses.

Trains the demo's 3D network on the embedded data set with each balancer, and
keeps every term's weight and gradient norm over time. Render the data first:
python tools/render_dataset.py --out data/annypose
"""

from study import ROOT, Study

from mmpose_wloss.models.heads.integral_pose3d_head import TERMS
from mmpose_wloss.visualization import draw_comparison, draw_term_curves

# so often the gradients' norms are measured, in iterations
INTERVAL = 5


def balanced(mode: str, kind: str, **arguments) -> dict:
    return {
        'model.head.mode': mode,
        'model.head.balancer': dict(
            type=kind, grad_norm_interval=INTERVAL, **arguments),
    }


def manual(*ratios: float) -> dict:
    return balanced('manual', 'ManualBalancer',
                    ratios=dict(zip(TERMS, ratios, strict=True)))


STUDY = Study(
    'loss_balancers',
    config='configs/demo/integral3d_i1_d16_annypose.py',
    configurations={
        'equal weights': manual(1., 1., 1., 1., 1.),
        # the source's for 16 bins of depth
        'Manual 1 : 0.3 : 1': manual(1., 0.3, 1., 1., 1.),
        'Adaptive H1': balanced('H1', 'AdaptiveBalancer'),
        'Adaptive I1': balanced('I1', 'AdaptiveBalancer'),
        'GradNorm': balanced('I1', 'GradNormBalancer'),
        'Uncertainty': balanced('I1', 'UncertaintyBalancer',
                                log_variance='first_batch'),
        'Dynamic task priority': balanced(
            'I1', 'DynamicTaskPriorityBalancer'),
    },
    seeds=3,
    epochs=10,
    figures={'MPJPE': 'MPJPE', 'P-MPJPE': 'PA-MPJPE'},
    scalars=[f'{figure}_{term}' for figure in ('weight', 'grad_norm', 'raw')
             for term in TERMS])


def draw() -> None:
    """Draw errors, and every term's weight and gradient norm over time."""
    rows = STUDY.by_configuration()
    draw_comparison(
        {label: {name: {'seed': [row['figures'][key] for row in of_one]}
                 for name, of_one in rows.items()}
         for key, label in STUDY.figures.items()},
        str(ROOT / 'docs/images/loss_balancers_study.png'),
        'Error of 3D poses with each balancer', 'mm')
    draw_term_curves(
        {name: [row['scalars'] for row in of_one]
         for name, of_one in rows.items()},
        {'weight': 'weight', 'grad_norm': 'gradient norm'}, TERMS,
        str(ROOT / 'docs/images/loss_balancers_terms.png'))
    print('drawn: docs/images/loss_balancers_study.png and '
          'docs/images/loss_balancers_terms.png')


if __name__ == '__main__':
    STUDY.main()
    if STUDY.by_configuration():
        draw()
