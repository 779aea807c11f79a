"""What a teacher brings to a small student, and what unlabeled images add.

Trains a mobile hourglass on the embedded data set: from labels alone, taught
by a larger hourglass with several alphas, and with as many unlabeled images;
and the same with few labels. The teacher has all labels.
Render it first: python -m mmpose_wloss render dataset --unlabeled 4000
"""

from study import Study

TEACHER = 'teacher, 4 stacks'
STUDENT = 'student, 2 mobile stacks'
UNLABELED = 'distilled, alpha 0.5, unlabeled images'


def distilled(alpha: float, **options) -> dict:
    return {
        'config': 'configs/demo/hourglass_mobile_s2_fpd_annypose.py',
        'teacher': TEACHER,
        'model.alpha': alpha,
        **options
    }


# as many steps with 200 labeled people as with all 2,185
FEW = {'train_dataloader.dataset.indices': 200, 'epochs': 105,
       'train_cfg.val_interval': 21,
       'default_hooks.checkpoint.interval': 21}
CONFIGURATIONS = {
    TEACHER: {'config': 'configs/demo/hourglass_s4_annypose.py', 'epochs': 14},
    # alpha 0: the stock training
    STUDENT: {},
    'distilled, alpha 0.5': distilled(0.5),
    UNLABELED: distilled(
        0.5, config='configs/demo/hourglass_mobile_s2_fpd_unlabeled_annypose.py'),
    'distilled, alpha 1': distilled(1.),
    'distilled, alpha 0.25': distilled(0.25),
    'distilled, alpha 0.75': distilled(0.75),
    '200 labels, student': FEW,
    '200 labels, distilled, alpha 0.5': distilled(0.5, **FEW),
    '200 labels, distilled, alpha 0.5, unlabeled images': distilled(
        0.5, config='configs/demo/hourglass_mobile_s2_fpd_unlabeled_annypose.py',
        **{'train_dataloader.dataset.datasets.0.indices': 200}),
}
STUDY = Study(
    'distillation',
    config='configs/demo/hourglass_mobile_s2_annypose.py',
    configurations=CONFIGURATIONS,
    # one teacher for all students
    seeds=dict.fromkeys(CONFIGURATIONS, 2) | {TEACHER: 1},
    epochs=10,
    figures={
        'coco/AP': 'AP',
        'coco/AP .5': 'AP50',
        'coco/AP .75': 'AP75',
        'PCK': 'PCK@0.1'
    })


if __name__ == '__main__':
    STUDY.main(
        'docs/images/distillation.png',
        'Validation AP of a student with 100,000 parameters',
        [name for name in CONFIGURATIONS
         if name != TEACHER and '200' not in name])
