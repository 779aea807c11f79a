"""What the studies say in a few lines: for the demo's report, and for the README.

Writes ``mmpose_wloss/apis/demo_evidence.json``, which is installed with the package.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

from mmpose_wloss.apis.demo_report import EVIDENCE

import distillation
import integral_pose3d
import numpy as np
import pose_density_weights
import semi_supervised
from json_rows import RESULTS, write_rows
from paired import difference

LSPET = 'photos of sport, LSP-extended'
# a claim needs so many pairs
PAIRS = 3


class Headline(NamedTuple):
    """A comparison that stands for a study.

    Args:
        problem (str): Which of the report's problems.
        name (str): The study's script.
        baseline, method (str): Two of its configurations.
        called (tuple[str, str]): What the report calls them.
        key, figure (str): The figure's key in rows, and what it is called.
        data (str): What was trained on and tested on.
        lower (bool): Whether lower is better.
        digits (int): How many decimals differences have.
    """
    problem: str
    name: str
    baseline: str
    method: str
    called: tuple[str, str]
    key: str
    figure: str
    data: str
    lower: bool = False
    digits: int = 3


DRAWN = ('drawn equally often', 'rare poses drawn more often')
RARE = ('pose_density_weights', 'heatmap, no weights', 'heatmap, drawn, tempered',
        DRAWN)
RENDERED = ('pose_density_weights_annypose', 'no weights', 'drawn, tempered', DRAWN)
HEADLINES = [
    *(Headline(
        'few_labels', 'semi_supervised', f'{labels} labels, supervised',
        f'{labels} labels, PoseDual, 2 cutouts',
        (f'{labels:,} labels alone', 'and 6,000 images without labels, PoseDual'),
        'PCK', 'PCK@0.1 of the box', LSPET) for labels in semi_supervised.LABELS),
    Headline(
        'fast_model', 'distillation', '300 labels, student, 16 images a step',
        f'300 labels, {distillation.UNLABELED}',
        ('300 labels alone', 'and a teacher, and 8,000 images without labels'),
        'PCK@0.2', 'PCK@0.2', LSPET),
    Headline('rare_poses', *RENDERED, 'rare/error',
             'error of the rarest tenth, % of the box', 'rendered people', lower=True,
             digits=1),
    Headline('rare_poses', *RENDERED, 'coco/AP', 'AP of all people',
             'rendered people'),
    Headline('rare_poses', *RARE, 'rare/error',
             'error of the rarest tenth, % of the box', LSPET, lower=True, digits=1),
    Headline('rare_poses', *RARE, 'PCK@0.2', 'PCK@0.2 of all people', LSPET),
    Headline(
        'losses_that_fight', 'integral_pose3d', 'Equal weights', 'Adaptive I1',
        ('equal weights', 'adaptive balancing'), 'MPJPE', 'MPJPE, mm',
        'rendered people', lower=True, digits=1),
    Headline(
        'background', 'sparse_heatmap', 'MSE (stock)', 'focal γ=8 δ=1',
        ('MSE', 'focal MSE, γ = 8'), 'found', 'joints found after 240 steps',
        'drawn images, one small joint in 256 × 256'),
]
STUDIES = {study.name: study for study in (
    semi_supervised.STUDY, distillation.STUDY, pose_density_weights.STUDY,
    pose_density_weights.EMBEDDED, integral_pose3d.STUDY)}


def by_seed(study: str, configuration: str, key: str) -> Mapping[int, float]:
    """The figure of a configuration's rows by seed."""
    if study in STUDIES:
        return STUDIES[study].by_seed(configuration, key)
    rows = json.loads((RESULTS / f'{study}.json').read_text())['rows']
    return {row['seed']: [*row['curve'].values()][-1] for row in rows
            if row['loss'] == configuration}


def command_of(study: str) -> str:
    """What trains a study's rows, and prints them."""
    script = study.removesuffix('_annypose')
    return (f'python benchmarks/reproduce.py {script}' if study in STUDIES else
            f'python benchmarks/{script}.py')


def evidence() -> list[dict]:
    """The headlines that have pairs enough, as the report reads them."""
    found = []
    for each in HEADLINES:
        values = [by_seed(each.name, name, each.key)
                  for name in (each.baseline, each.method)]
        of_pairs = difference(*reversed(values))
        if of_pairs.pairs < PAIRS:
            continue
        found.append(dict(
            problem=each.problem, baseline=each.called[0], method=each.called[1],
            figure=each.figure, lower=each.lower, data=each.data,
            values=[round(float(np.mean([*one.values()])), 4) for one in values],
            difference='{:+.{digits}f} [{:+.{digits}f}, {:+.{digits}f}]'.format(
                *of_pairs[:3], digits=each.digits).replace('-', '−'),
            pairs=of_pairs.pairs, command=command_of(each.name)))
    return found


if __name__ == '__main__':
    write_rows(EVIDENCE, evidence(), levels=1)
    print(f'written: {EVIDENCE}')
