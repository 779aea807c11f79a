"""Which loss heatmaps learn best and fastest with, on real people.

Trains a pretrained network on LSP-extended with each loss, with heatmaps of 24 × 24
pixels, and of 48 × 48 with joints as small in pixels, which are rarer there. Without
data and weights it says how to get them.
"""

from collections.abc import Mapping

from mmpose_wloss.datasets.datasets import LSPDataset

import numpy as np
from lspet import REFERENCES, exit_without
from study import Study
from tabulate import tabulate

# of each training; with more, rows of fewer do not count
STEPS = 1000
EPOCHS = 8  # after each of which it is validated
BATCH = 16
# of what MSE reaches in the end: the source claims that it is reached sooner
SHARE = 0.9


def loss(kind: str, **arguments) -> dict:
    arguments = dict(type=kind, **arguments)
    return {f'model.head.loss.{key}': value
            for key, value in arguments.items()}


def focus(gamma: float, delta: float) -> dict:
    return loss('FocusMSELoss', gamma=gamma, delta=delta)


LOSSES = {
    'MSE': {},
    'focal γ=1 δ=1': focus(1., 1.),
    'focal γ=2 δ=1': focus(2., 1.),
    'AdaptiveWing': loss('AdaptiveWingLoss'),
    'focal γ=2 δ=0.1': focus(2., 0.1),
    'WAHR': loss('WeightAdaptiveMSELoss'),
    'OHKM': loss('KeypointOHKMMSELoss'),
    'focal γ=1 δ=0.1': focus(1., 0.1),
    # the linear one is focal γ=1 δ=1
    'HWL, power': loss('HeatmapWeightingMSELoss', function='power'),
    'Rank & Sort': loss('RankSortLoss'),
    'expected OKS': loss('ExpectedOKSLoss', sigmas=LSPDataset.METAINFO['sigmas']),
}
# four times the pixels, and a joint still covers as many
LARGE = {
    'model.head.deconv_out_channels': [64, 64],
    'model.head.deconv_kernel_sizes': [4, 4],
    'model.head.decoder.heatmap_size': [48, 48],
    'train_dataloader.dataset.dataset.pipeline.5.encoder.heatmap_size': [48, 48],
}
IN_LARGE = ('MSE', 'focal γ=1 δ=1', 'AdaptiveWing', 'Rank & Sort')
SETTINGS = {
    '24 × 24': LOSSES,
    '48 × 48': {name: {**LARGE, **LOSSES[name]} for name in IN_LARGE},
}
COMMON = {
    'train_dataloader.sampler': dict(
        _delete_=True, type='DrawSampler', num_samples=STEPS * BATCH // EPOCHS),
}
CONFIGURATIONS = {f'{setting}, {name}': {**COMMON, **options}
                  for setting, losses in SETTINGS.items()
                  for name, options in losses.items()}

def steps_to(curve: Mapping[str, float], figure: float) -> float | None:
    """Steps until a figure is reached.

    Args:
        curve (Mapping): The figure by epoch, as rows hold it; it begins at 0.
        figure (float): Above 0.

    Returns:
        float: By linear interpolation between validations; ``None``: never.
    """
    before, value_before = 0, 0.
    for epoch, value in sorted((int(key), value) for key, value in curve.items()):
        if value >= figure:
            share = (figure - value_before) / (value - value_before)
            return (before + share * (epoch - before)) * STEPS / EPOCHS
        before, value_before = epoch, value
    return None


def table_of_convergence(study: Study) -> str:
    """Steps to a share of MSE's last PCK, mean over seeds, as Markdown."""
    rows, lines = study.by_configuration(), []
    for setting in SETTINGS:
        last = [row['figures']['PCK@0.2'] for row in rows.get(f'{setting}, MSE', ())]
        for name in SETTINGS[setting] if last else ():
            steps = [steps_to(row['curve'], SHARE * np.mean(last))
                     for row in rows.get(f'{setting}, {name}', ())]
            reached = [each for each in steps if each is not None]
            if steps:
                spread = f' ± {np.std(reached, ddof=1):.0f}' if len(reached) > 1 else ''
                lines.append([
                    f'{setting}, {name}', f'{len(reached)} of {len(steps)}',
                    f'{np.mean(reached):.0f}{spread}' if reached else '-'])
    return tabulate(lines, ['configuration', 'seeds that reach it',
                            f"steps to {SHARE:.0%} of MSE's last PCK@0.2"],
                    tablefmt='github')


STUDY = Study(
    'heatmap_losses',
    config='configs/lspet/efficientnet_lite0_mse_lspet.py',
    configurations=CONFIGURATIONS,
    seeds=3,
    epochs=EPOCHS,
    figures={'PCK@0.2': 'PCK@0.2', 'PCK': 'PCK@0.1 of the box'},
    comparisons=[(name, f'{name.partition(",")[0]}, MSE', figure)
                 for figure in ('PCK@0.2', 'PCK')
                 for name in CONFIGURATIONS if not name.endswith(', MSE')],
    tables=[table_of_convergence],
    page='docs/heatmap_losses.md')


if __name__ == '__main__':
    exit_without('lspet', 'weights')
    STUDY.main('docs/images/heatmap_losses_study.png',
               'PCK@0.2 on LSP-extended, heatmaps of 24 × 24',
               [f'24 × 24, {name}' for name in LOSSES])
    print(f'\n{REFERENCES}')
