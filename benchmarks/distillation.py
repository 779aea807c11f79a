"""What a teacher brings to a small student on real people, and unlabeled images.

Trains a mobile hourglass from random weights on LSP-extended: from labels alone,
taught by a pretrained network with several alphas, and with images without
labels; with all 6,000 labels, and with 300 of them, which are also all that the
teacher knows, but where a row says so. A student with feature maps learns in the two
stages of DWPose.
"""

import json

from mmpose_wloss import register_all_modules
from mmpose_wloss.apis.model_comparison import ModelComparison
from mmpose_wloss.trainings import Training

import torch
from figures import draw_differences
from json_rows import RESULTS, write_rows
from lspet import REFERENCES, exit_without
from study import ROOT, Study
from tabulate import tabulate

# of a student: 750 steps with eight labeled people are one; a multiple of 4
EPOCHS = 8
LSPET = 'configs/lspet/'
TEACHER = f'{LSPET}efficientnet_lite0_sigma2_lspet.py'
COSTS = RESULTS / 'distillation_costs.json'
FEW, ALL = '300 labels', '6,000 labels'
# how many labels, and how often an epoch shows each
LABELS = {FEW: ({'labels': 300}, 20), ALL: ({}, 1)}
UNLABELED = 'distilled, unlabeled images'
LARGER = 'student, 16 images a step'
# of half a MobileNetV2
PLAIN, OUTPUTS, FEATURES, HEAD = (f'MobileNetV2, {kind}' for kind in (
    'labels alone', 'distilled', 'distilled, features too', 'then a new head'))
# the first one with few labels, too
ALPHAS = (0.5, 1., 0.25)


def student(labels: str, images: int = 8, **options) -> dict:
    """As many steps with so many images as with eight."""
    people, times = LABELS[labels]
    return {'train_dataloader.batch_size': images,
            'train_dataloader.dataset.times': times * images // 8,
            'train_cfg.val_interval': 2, **people, **options}


def distilled(labels: str, alpha: float) -> dict:
    return student(labels, config=f'{LSPET}hourglass_mobile_s1_fpd_lspet.py', **{
        'teacher': f'{labels}, teacher', 'model.alpha': alpha})


def unlabeled(labels: str) -> dict:
    """Eight images without labels beside; an epoch has 1,000 steps."""
    return {'config': f'{LSPET}hourglass_mobile_s1_fpd_unlabeled_lspet.py',
            'teacher': f'{labels}, teacher', 'epochs': EPOCHS * 3 // 4,
            'train_cfg.val_interval': 2, **LABELS[labels][0]}


def mobilenet(kind: str = '', **options) -> dict:
    return {'config': f'{LSPET}mobilenetv2{kind}_lspet.py',
            'train_cfg.val_interval': 2, **options}


# the most telling first
CONFIGURATIONS = {
    # a teacher of few labels ends earlier, after 1,140 steps
    f'{FEW}, teacher': {
        'config': TEACHER, 'labels': 300, 'epochs': 60,
        'train_cfg.val_interval': 20, 'default_hooks.checkpoint.interval': 20},
    f'{ALL}, teacher': {'config': TEACHER, 'epochs': 8},
    **{f'{labels}, student': student(labels) for labels in LABELS},
    **{f'{labels}, {UNLABELED}': unlabeled(labels) for labels in LABELS},
    **{f'{labels}, {LARGER}': student(labels, 16) for labels in LABELS},
    **{f'{labels}, distilled, alpha 0.5': distilled(labels, 0.5)
       for labels in LABELS},
    **{f'{ALL}, distilled, alpha {alpha:g}': distilled(ALL, alpha)
       for alpha in ALPHAS[1:]},
    PLAIN: mobilenet(),
    FEATURES: mobilenet('_dwpose', teacher=f'{ALL}, teacher'),
    OUTPUTS: mobilenet('_dwpose', teacher=f'{ALL}, teacher', **{
        'model.feature_loss': None, 'model.teacher_decay': False}),
    HEAD: mobilenet('_head_dwpose', after=FEATURES, epochs=2),
}


class DistillationStudy(Study):
    """A configuration with ``after`` keeps the backbone of that one's student."""

    def training(self, name: str, seed: int) -> Training:
        """The training of a row; it takes what ``DistillationHook`` wrote."""
        training = super().training(name, seed)
        if 'after' in self.configurations[name]:
            file = str(training.after.work_dir / 'student.pth')
            training.checkpoint_key = None
            training.config.merge_from_dict({
                'model.teacher_checkpoint': file,
                'model.student.backbone.init_cfg.checkpoint': file})
        return training


def table_of_gains(study: Study) -> str:
    """What the last part of a training still brought, as Markdown."""
    lines = []
    for name, rows in study.by_configuration().items():
        *_, before, last = sorted(map(int, rows[0]['curve']))
        gains = [row['curve'][str(last)] - row['curve'][str(before)] for row in rows]
        lines.append([name, f'last {1 - before / last:.0%}',
                      f'{sum(gains) / len(gains):+.3f}'])
    return tabulate(lines, ['configuration', 'part of the training',
                            'gain of PCK@0.2'], tablefmt='github',
                    disable_numparse=True)


def table_of_costs(_: Study) -> str:
    """Accuracy and speed side by side, as Markdown, where they were measured."""
    if not COSTS.exists():
        return ''
    rows = json.loads(COSTS.read_text())['rows']
    return tabulate(
        [[row['name'], f'{row["figures"]["PCK@0.2"]:.3f}',
          f'{row["parameters"] / 1e6:.3f}', f'{row["gmacs"]:.4f}',
          *(f'{speed:.0f}' for speed in row['images_per_second'].values())]
         for row in rows],
        ['first seed', 'PCK@0.2', 'parameters, M', 'GMACs', 'PyTorch, images/s',
         'ONNX, images/s'], tablefmt='github', disable_numparse=True)


STUDY = DistillationStudy(
    'distillation',
    config=f'{LSPET}hourglass_mobile_s1_lspet.py',
    configurations=CONFIGURATIONS,
    seeds=3,
    epochs=EPOCHS,
    figures={'PCK@0.2': 'PCK@0.2', 'PCK': 'PCK@0.1 of the box'},
    comparisons=[
        *((f'{labels}, {UNLABELED}', f'{labels}, {baseline}') for labels in LABELS
          for baseline in ('student', LARGER, 'distilled, alpha 0.5')),
        *((f'{labels}, {LARGER}', f'{labels}, student') for labels in LABELS),
        (f'{FEW}, distilled, alpha 0.5', f'{FEW}, student'),
        *((f'{ALL}, distilled, alpha {alpha:g}', f'{ALL}, student')
          for alpha in ALPHAS),
        (OUTPUTS, PLAIN), (FEATURES, PLAIN), (FEATURES, OUTPUTS), (HEAD, FEATURES)],
    # with as many images a step
    headrooms={FEW: (f'{FEW}, {LARGER}', f'{ALL}, {LARGER}'),
               ALL: (f'{ALL}, {LARGER}', f'{ALL}, teacher'),
               'MobileNetV2': (PLAIN, f'{ALL}, teacher')},
    tables=[table_of_gains, table_of_costs],
    page='docs/distillation.md')


def measure_costs() -> None:
    """Speeds of teacher and students beside their accuracy, in one run.

    Of the first seeds with all labels, if they were trained on this machine.
    """
    trainings = {name: STUDY.training(name, 0) for name in (
        f'{ALL}, {kind}' for kind in ('teacher', LARGER, UNLABELED))}
    if not all(each.done() for each in trainings.values()):
        return
    register_all_modules()
    torch.set_num_threads(1)
    comparison = ModelComparison(
        [(name, str(each.work_dir / 'config.py'), str(each.checkpoint()[1]))
         for name, each in trainings.items()], ROOT / 'work_dirs/distillation/costs')
    comparison.run()
    write_rows(COSTS, dict(format=1, rows=[
        dict(name=row['name'], parameters=row['network']['parameters'],
             gmacs=row['network']['gmacs'], figures=row['figures'],
             images_per_second=row['speed']) for row in comparison.rows]))


if __name__ == '__main__':
    exit_without('lspet', 'ccp', 'weights')
    STUDY.main()
    print(f'\n{REFERENCES}\n')
    draw_differences(STUDY.differences(), ROOT / 'docs/images/distillation.png',
                     'A mobile student on photos of LSP-extended')
    measure_costs()
    STUDY.write_page()
