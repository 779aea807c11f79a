"""Which gamma and delta focal MSE should default to, and how it compares.

Trains the demo's network on the embedded data set with each loss. Render it
first: python -m mmpose_wloss render dataset --out data/annypose
"""

from study import Study


def focus(gamma: float, delta: float, **arguments) -> dict:
    return loss('FocusMSELoss', gamma=gamma, delta=delta, **arguments)


def loss(kind: str, **arguments) -> dict:
    arguments = dict(type=kind, **arguments)
    return {f'model.head.loss.{key}': value
            for key, value in arguments.items()}


STUDY = Study(
    'focus_gamma_delta',
    config='configs/demo/resnet18_mse_annypose.py',
    configurations={
        'MSE': {},
        'focal γ=1 δ=1': focus(1., 1.),
        'focal γ=2 δ=1': focus(2., 1.),
        'focal γ=1 δ=0.1': focus(1., 0.1),
        'WAHR': loss('WeightAdaptiveMSELoss'),
        'focal γ=4 δ=1': focus(4., 1.),
        'focal γ=2 δ=0.1': focus(2., 0.1),
    },
    seeds=3,
    epochs=10,
    figures={
        'coco/AP': 'AP',
        'coco/AP .5': 'AP50',
        'coco/AP .75': 'AP75',
        'PCK': 'PCK@0.1'
    })

if __name__ == '__main__':
    STUDY.main(
        'docs/images/focus_gamma_delta.png',
        'Validation AP on the embedded data set',
        ['MSE', 'focal γ=1 δ=1', 'focal γ=2 δ=1', 'focal γ=2 δ=0.1', 'WAHR'])
