"""Whom to label next: do the people that ``density rank`` lists first teach more?

A pretrained network learns 300 labels of LSP-extended, as the baseline of
semi_supervised.py, and ranks the other 5,700 people by what it predicts. Others learn
these 300 and 300 more in as many steps: random ones, or the first ones of a ranking.
"""

import json
from pathlib import Path

from mmpose_wloss.apis.pose_ranking import rank_people, shares
from mmpose_wloss.apis.topdown_predictor import TopdownPredictor
from mmpose_wloss.common.configs import data_sets
from mmpose_wloss.common.files import write_whole
from mmpose_wloss.datasets import collect_poses, fit_pose_density
from mmpose_wloss.trainings import Training, run_trainings

import numpy as np
import semi_supervised
from lspet import REFERENCES, exit_without
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from pose_density_weights import EVALUATION, table_of_bins, write_densities
from study import ROOT, Study

PEOPLE = 6000
FIRST = 300
RANDOM = '300 more at random'
CONFIGURATIONS = {
    name: {**semi_supervised.supervised(2 * FIRST), 'labels': FIRST, 'more': more,
           'val_evaluator': EVALUATION['val_evaluator']}
    for name, more in {
        RANDOM: 'random',
        **{f'300 more, first by {by}': by
           for by in ('both', 'rarity', 'uncertainty')}}.items()}


class LabelNextStudy(Study):
    """Options have ``more``: by what as many people are chosen beside the labeled."""

    def run(self, minutes: float, processes: int) -> None:
        """Train the networks that rank, rank, then run what is missing."""
        seeds = sorted({seed for _, seed in self.missing()})
        run_trainings([first for first in map(self.first, seeds) if not first.done()],
                      processes)
        for seed in seeds:
            if not self.file_of(seed).exists():
                write_whole(self.file_of(seed), json.dumps(ranked(self.first(seed))))
        super().run(minutes, processes)

    @staticmethod
    def first(seed: int) -> Training:
        """The training with the first labels, of the other study."""
        return semi_supervised.STUDY.training(f'{FIRST} labels, supervised', seed)

    def file_of(self, seed: int) -> Path:
        """Where people stand in the order of each ranking, by that training."""
        return ROOT / 'work_dirs' / self.name / f'{self.first(seed).work_dir.name}.json'

    def people(self, options: dict, seed: int) -> list[int]:
        """The labeled ones and as many more."""
        more, count = options.pop('more'), options['labels']
        labeled = super().people(options, seed)
        if more == 'random':
            others = np.setdiff1d(np.arange(PEOPLE), labeled)
            order = np.random.default_rng(seed).permutation(others).tolist()
        else:
            order = json.loads(self.file_of(seed).read_text())[more]
        return labeled + order[:count]


def ranked(training: Training) -> dict[str, list[int]]:
    """The indices of the people without labels, from those to label first on.

    Args:
        training (Training): Of the network that predicts; it is done.

    Returns:
        dict: By what they are ranked by, as ``density rank`` does it.
    """
    init_default_scope('mmpose')
    _, labeled = next(data_sets(training.config.train_dataloader.dataset))
    density = fit_pose_density(collect_poses(DATASETS.build(
        dict(labeled, pipeline=[]))))
    others = sorted(set(range(PEOPLE)).difference(labeled['indices']))
    people = DATASETS.build(dict(
        type='UnlabeledPoseDataset', indices=others, pipeline=[],
        **{key: labeled[key] for key in (
            'data_root', 'metainfo', 'data_prefix', 'ann_file')}))
    predictor = TopdownPredictor(training.config, str(training.checkpoint()[1]))
    ranking = rank_people(predictor, density, people)
    scores = dict(both=ranking.scores, rarity=shares(ranking.log_density),
                  uncertainty=shares(ranking.confidence))
    return {by: [others[row] for row in np.argsort(-each, kind='stable').tolist()]
            for by, each in scores.items()}


STUDY = LabelNextStudy(
    'label_next', config=semi_supervised.SUPERVISED, configurations=CONFIGURATIONS,
    seeds=3, epochs=semi_supervised.STUDY.epochs,
    figures={
        'PCK@0.2': 'PCK@0.2',
        'common/PCK@0.2': 'PCK@0.2, common half',
        'rare/PCK@0.2': 'PCK@0.2, rare tenth',
        'PCK': 'PCK@0.1 of the box',
        'middle/error': 'error, middle',
        'common/error': 'error, common half',
        'rare/error': 'error, rare tenth',
        'slope': 'slope',
    },
    comparisons=[(name, RANDOM) for name in CONFIGURATIONS if name != RANDOM],
    tables=[table_of_bins],
    page='docs/rare_poses.md')


if __name__ == '__main__':
    exit_without('lspet', 'weights')
    # the bins are those of all poses of training
    write_densities()
    STUDY.main()
    print(f'\n{REFERENCES}\n')
