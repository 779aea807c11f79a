"""Whom to label next: do the people that ``density rank`` lists first teach more?

A pretrained network learns 300 labels of LSP-extended, as the baseline of
semi_supervised.py, and ranks the other 5,700 people by what it predicts. Others learn
these 300 and 300 more in as many steps: random ones, or the first ones of a ranking.
A second study keeps the 300 labels, and draws those of the others whose predicted poses
are rare more often for the hard views of PoseCons.
"""

import json
from pathlib import Path

from mmpose_wloss.apis.pose_ranking import (
    PoseRanking,
    rank_people,
    shares,
    write_ranking,
)
from mmpose_wloss.apis.topdown_predictor import TopdownPredictor
from mmpose_wloss.common.configs import data_sets
from mmpose_wloss.common.files import write_whole
from mmpose_wloss.datasets import collect_poses, fit_pose_density
from mmpose_wloss.pose_density import PoseDensityArtifact
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
IMAGES = 'data/lspet/images'
UNLABELED = 'train_dataloader.dataset.datasets.1'
# rarity depends on it
KPT_THR = 0.1
RANDOM = '300 more at random'
CONFIGURATIONS = {
    name: {**semi_supervised.supervised(2 * FIRST), 'labels': FIRST, **more,
           'val_evaluator': EVALUATION['val_evaluator']}
    for name, more in {
        RANDOM: {'more': 'random'},
        '300 more, first by uncertainty': {'more': 'uncertainty'},
        **{f'300 more, first by {by}': {'more': by, 'kpt_thr': KPT_THR}
           for by in ('both', 'rarity')}}.items()}


class LabelNextStudy(Study):
    """Options have ``more``: by what as many people are chosen beside the labeled."""

    def run(self, minutes: float, processes: int) -> None:
        """Train the networks that rank, rank, then run what is missing."""
        seeds = sorted({seed for _, seed in self.missing()})
        run_trainings([first for first in map(self.first, seeds) if not first.done()],
                      processes)
        for seed in seeds:
            if not self.file_of(seed).exists():
                self.write_file(seed)
        super().run(minutes, processes)

    def write_file(self, seed: int) -> None:
        """Write the order of each ranking."""
        others, ranking, _ = ranked(self.first(seed))
        scores = dict(both=ranking.scores, rarity=shares(ranking.log_density),
                      uncertainty=shares(ranking.confidence))
        write_whole(self.file_of(seed), json.dumps({
            by: [others[row] for row in np.argsort(-each, kind='stable').tolist()]
            for by, each in scores.items()}))

    @staticmethod
    def first(seed: int) -> Training:
        """The training with the first labels, of the other study."""
        return semi_supervised.STUDY.training(f'{FIRST} labels, supervised', seed)

    def file_of(self, seed: int) -> Path:
        """Where people stand in the order of each ranking, by that training."""
        return (ROOT / 'work_dirs' / self.name /
                f'{self.first(seed).work_dir.name}_{KPT_THR:g}.json')

    def people(self, options: dict, seed: int) -> list[int]:
        """The labeled ones and as many more."""
        more, count = options.pop('more'), options['labels']
        # says which rows count, no more
        options.pop('kpt_thr', None)
        labeled = super().people(options, seed)
        if more == 'random':
            others = np.setdiff1d(np.arange(PEOPLE), labeled)
            order = np.random.default_rng(seed).permutation(others).tolist()
        else:
            order = json.loads(self.file_of(seed).read_text())[more]
        return labeled + order[:count]


class DrawUnlabeledStudy(LabelNextStudy):
    """Options have ``drawn``: whether unlabeled people are drawn by their density."""

    def file_of(self, seed: int) -> Path:
        """The people without labels; how often each is drawn stands beside them."""
        return ROOT / 'work_dirs' / self.name / self.first(seed).work_dir.name / (
            'people.json')

    def write_file(self, seed: int) -> None:
        """Write what ``density rank`` writes."""
        _, ranking, density = ranked(self.first(seed))
        folder = self.file_of(seed).parent
        draws = write_ranking(ranking, density, IMAGES, folder)
        print(f'{folder}: effective sample size {draws.effective_sample_size:.2f}, '
              f'{np.isnan(ranking.log_density).mean():.1%} without a density')

    def people(self, options: dict, seed: int) -> list[int]:
        """The labeled ones; the others go into the options."""
        file, drawn = self.file_of(seed).relative_to(ROOT), options.pop('drawn')
        options.update({f'{UNLABELED}.{key}': value for key, value in {
            'data_root': '', 'ann_file': str(file), 'data_prefix.img': IMAGES}.items()})
        if drawn:
            options['train_dataloader.sampler.densities'] = [
                None, str(file.with_name('draws.npz'))]
        return Study.people(self, options, seed)


def ranked(training: Training
           ) -> tuple[list[int], PoseRanking, PoseDensityArtifact]:
    """The people without labels as ``density rank`` ranks them.

    Args:
        training (Training): Of the network that predicts; it is done.

    Returns:
        tuple: Their indices, their ranking, the density of the labeled poses.
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
    return others, rank_people(
        predictor, density, people, kpt_thr=KPT_THR), density


FIGURES = {
    'PCK@0.2': 'PCK@0.2',
    'common/PCK@0.2': 'PCK@0.2, common half',
    'rare/PCK@0.2': 'PCK@0.2, rare tenth',
    'PCK': 'PCK@0.1 of the box',
    'middle/error': 'error, middle',
    'common/error': 'error, common half',
    'rare/error': 'error, rare tenth',
    'slope': 'slope',
}
STUDY = LabelNextStudy(
    'label_next', config=semi_supervised.SUPERVISED, configurations=CONFIGURATIONS,
    seeds=3, epochs=semi_supervised.STUDY.epochs, figures=FIGURES,
    comparisons=[(name, RANDOM) for name in CONFIGURATIONS if name != RANDOM],
    tables=[table_of_bins],
    page='docs/rare_poses.md')

EVENLY, RARE = (f'300 labels, PoseCons, {drawn}' for drawn in (
    'others evenly', 'rare ones more often'))
UNLABELED_STUDY = DrawUnlabeledStudy(
    'draw_unlabeled', config=semi_supervised.STUDY.config, configurations={
        name: {**semi_supervised.CONFIGURATIONS['300 labels, PoseCons, 2 cutouts'],
               'val_evaluator.metrics': EVALUATION['val_evaluator'], 'drawn': drawn}
        for name, drawn in {EVENLY: False, RARE: True}.items()},
    seeds=3, epochs=semi_supervised.STUDY.epochs, figures=FIGURES,
    comparisons=[(RARE, EVENLY)], tables=[table_of_bins],
    page='docs/pose_density.md')


if __name__ == '__main__':
    exit_without('lspet', 'weights')
    # the bins are those of all poses of training
    write_densities()
    STUDY.main()
    UNLABELED_STUDY.main()
    print(f'\n{REFERENCES}\n')
