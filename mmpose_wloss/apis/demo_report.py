"""The demo's page: what unbalanced training costs, and what helps against it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from ..trainings import Training
from ..visualization import draw_curves, draw_predictions, predict
from ..visualization.html_pages import write_page
from ..visualization.predictions import Prediction

# what the studies say, written by benchmarks/evidence.py
EVIDENCE = Path(__file__).with_name('demo_evidence.json')
# people in the picture of predictions
COLUMNS = 8


class Problem(NamedTuple):
    """One way in which training data are unbalanced.

    Args:
        title (str): Its name.
        cost (str): What it costs.
        remedy (str): The line of a config or the command that helps.
        page (str): The page about it in ``docs/``.
    """
    title: str
    cost: str
    remedy: str
    page: str


PROBLEMS = {
    'few_labels': Problem(
        'Few labels, many images',
        'Labels cost hours and images nothing, so most images go unused.',
        'python -m mmpose_wloss recipe semi BASE.py --images my/images --out mine.py',
        'semi_supervised'),
    'fast_model': Problem(
        'A good model that is too slow',
        'The network that fits a phone learns less from the same labels.',
        'python -m mmpose_wloss recipe distill BASE.py --teacher TEACHER.py '
        '--checkpoint teacher.pth --images my/images --out mine.py', 'distillation'),
    'rare_poses': Problem(
        'Common poses drown rare ones',
        'Networks fail at handstands, and a mean over people hardly tells.',
        'python -m mmpose_wloss recipe draw BASE.py --out mine.py',
        'pose_density'),
    'losses_that_fight': Problem(
        'Losses that fight',
        'Of 2D, volume and coordinate losses, the one of the largest scale wins.',
        'python -m mmpose_wloss recipe balance BASE.py --balancer AdaptiveBalancer '
        '--out mine.py',
        'loss_balancers'),
    'background': Problem(
        'Background drowns joints',
        'A small joint covers a ten-thousandth of its heatmap: a flat one costs '
        'little.', "model = dict(head=dict(loss=dict(type='FocusMSELoss', gamma=8.)))",
        'heatmap_losses'),
}


class Comparison(NamedTuple):
    """Two trainings of one problem.

    Args:
        baseline, method (str): What they are called.
        trainings (tuple[Training, Training]): They, done.
        figures (dict): By the metric's name what it is called, and whether lower is
            better. The first one is drawn over time.
        heatmaps (bool): Whether networks predict heatmaps, so that predictions are
            drawn.
    """
    baseline: str
    method: str
    trainings: tuple[Training, Training]
    figures: dict[str, tuple[str, bool]]
    heatmaps: bool = True

    def rows(self) -> list[dict]:
        """The figures after the last epochs, as those of the studies.

        They are of one seed, so they have no difference.
        """
        last = [training.validations()[training.epochs] for training in self.trainings]
        return [dict(baseline=self.baseline, method=self.method, figure=figure,
                     values=[figures[key] for figures in last], lower=lower)
                for key, (figure, lower) in self.figures.items()]


def figures_table(comparisons: Mapping[str, Comparison]) -> str:
    """The figures after the last epochs, as Markdown."""
    return tabulate(
        [[PROBLEMS[name].title, row['figure'], *(
            f'{label}: {value:.3f}' for label, value in zip(
                (each.baseline, each.method), row['values'], strict=True))]
         for name, each in comparisons.items() for row in each.rows()],
        ['problem', 'figure', 'baseline', 'with'], tablefmt='github')


def errors(people: list[Prediction]) -> np.ndarray:
    """Mean distance of visible joints, in shares of the crop's width, in [N]."""
    return np.array([
        np.linalg.norm((each.keypoints - each.truth)[each.visible], axis=1).mean()
        / each.crop.shape[1] if each.visible.any() else np.nan for each in people])


def draw_hard_people(comparison: Comparison, path: Path) -> float:
    """Draw what both networks predict of hard people of the test set.

    These are spread over the tenth that both find hardest together, not chosen by
    which network is better.

    Args:
        comparison (Comparison): Of networks with heatmaps.
        path (Path): The picture.

    Returns:
        float: The share of all people whose error is lower with the method.
    """
    found = {
        name: predict(training.config,
                      training.work_dir / f'epoch_{training.epochs}.pth')
        for name, training in zip(('baseline', 'method'), comparison.trainings,
                                  strict=True)}
    baseline, method = map(errors, found.values())
    hardest = np.argsort(np.nan_to_num(-(baseline + method)), kind='stable')
    places = np.linspace(0, len(hardest) // 10, COLUMNS, endpoint=False).astype(int)
    chosen = sorted(set(hardest[places].tolist()))
    draw_predictions({
        label: [found[name][index] for index in chosen] for name, label in (
            ('baseline', comparison.baseline), ('method', comparison.method))}, path)
    known = ~np.isnan(baseline)
    return float((method < baseline)[known].mean())


def write_report(comparisons: Mapping[str, Comparison], folder: Path) -> Path:
    """Write ``report.html``, one file with its pictures inside.

    Args:
        comparisons (Mapping): What was trained, by the problem's name.
        folder (Path): Where it goes.
    """
    trained = {}
    for name, each in tqdm(comparisons.items(), 'drawing', delay=5):
        curves, people = (folder / f'{name}_{kind}.png'
                          for kind in ('curves', 'people'))
        key, (figure, _) = next(iter(each.figures.items()))
        draw_curves({
            label: [{epoch: figures[key] for epoch, figures
                     in training.validations().items()}]
            for label, training in zip((each.baseline, each.method), each.trainings,
                                       strict=True)},
            curves, PROBLEMS[name].title, figure)
        trained[name] = dict(
            rows=each.rows(), curves=curves, people=people if each.heatmaps else None,
            better=draw_hard_people(each, people) if each.heatmaps else None)
    report = folder / 'report.html'
    write_page(report, 'demo_report.html', problems=PROBLEMS, trained=trained,
               evidence=json.loads(EVIDENCE.read_text()))
    return report
