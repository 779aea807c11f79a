"""What a pose density says in a few figures, alone and beside another."""

import dataclasses
import textwrap
import warnings

import numpy as np
from scipy.stats import rankdata, spearmanr

from ..common.errors import UserError
from .artifact import PoseDensityArtifact
from .weights import effective_sample_size

QUANTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)


def summarize(artifact: PoseDensityArtifact) -> str:
    """Describe a pose density, in several lines."""
    density, options = artifact.density, artifact.density.options
    known = ~np.isnan(artifact.log_density)
    shares = density.pca.explained_variance_ratio_

    def quantiles(values: np.ndarray, form: str) -> str:
        return ''.join(f'{format(value, form):>9}'
                       for value in np.percentile(values, QUANTILES))

    def plain(value) -> str:
        if isinstance(value, (list, tuple)):
            return ','.join(f'{each:g}' for each in value)
        return str(value)

    rows = [
        ('data set', artifact.dataset_name),
        ('annotations', ', '.join(artifact.annotation_files)),
        ('poses', f'{len(known)} of {len(artifact.joint_names)} joints'),
        ('without density', f'{(~known).sum()}, for want of joints'),
        ('copies of others', density.copies),
        ('options', textwrap.fill(
            ' '.join(f'{name}={plain(value)}'
                     for name, value in options.items()),
            96, initial_indent=23 * ' ', subsequent_indent=23 * ' ').lstrip()),
        ('bandwidth', f'{density.bandwidth:.4g}'),
        ('alpha', f'{density.alpha:.4g}' + (
            f", lowered from {options['alpha']:g} for min_ess"
            if density.alpha < options['alpha'] else '')),
        ('axes', f'{len(shares)} with {shares.sum():.1%} of the variance'),
        ('quantile', ''.join(f'{share:>7} %' for share in QUANTILES)),
        ('log density', quantiles(artifact.log_density[known], '.2f')),
        ('weight', quantiles(artifact.weights, '.3g')),
        ('effective sample size',
         f'{artifact.effective_sample_size:.4f} of the poses'),
        ('heaviest 1 %', f'{artifact.heaviest_share():.1%} of the weight'),
    ]
    if density.density_error is not None:
        middle, most = np.percentile(density.density_error, (50, 99))
        rows.append((
            'density error', f'{middle:.2%} (median) to {most:.2%} (99 %), '
            f'from {len(density.references)} poses'))
    return '\n'.join(f'{name:<22} {value}' for name, value in rows)


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Two pose densities on the annotations that both know.

    Attributes:
        ids (np.ndarray): The common ids, int64 in shape [N].
        log_density (np.ndarray): Of both, in shape [2, N]; NaN where unknown.
        weights (np.ndarray): Of both, in shape [2, N].
        ranks (np.ndarray): Share of poses that are rarer, in [0, 1], of both
            in shape [2, N]; NaN where one has no density.
        density_correlation (float): Spearman's; NaN where one does not vary.
        weight_correlation (float): Spearman's.
        rare_overlap (float): Share of the first one's rarest tenth that is in
            the second one's too.
    """
    ids: np.ndarray
    log_density: np.ndarray
    weights: np.ndarray
    ranks: np.ndarray
    density_correlation: float
    weight_correlation: float
    rare_overlap: float

    def disagreements(self, count: int = 10) -> np.ndarray:
        """Indices of the largest differences of ranks, the largest first."""
        known = np.flatnonzero(~np.isnan(self.ranks[0]))
        apart = np.abs(np.diff(self.ranks[:, known], axis=0)[0])
        return known[np.argsort(-apart, kind='stable')[:count]]


def compare(first: PoseDensityArtifact,
            second: PoseDensityArtifact) -> Comparison:
    """Compare two pose densities on the annotations that both have.

    Raises:
        UserError: If they are of different data sets, or have too few
            annotations in common.
    """
    if first.dataset_name != second.dataset_name:
        raise UserError(
            f'{first} is of the data set {first.dataset_name} and {second} of '
            f'{second.dataset_name}: their ids mean different annotations')
    ids, *rows = np.intersect1d(first.ids, second.ids, return_indices=True)
    weights, log_density = (
        np.stack([getattr(each, name)[row] for each, row in zip(
            (first, second), rows, strict=True)])
        for name in ('weights', 'log_density'))
    known = ~np.isnan(log_density).any(0)
    count = int(known.sum())
    if count < 2:
        raise UserError(
            f'{first} and {second} have {len(ids)} annotations in common, '
            f'{count} of them with densities in both: too few to compare')
    ranks = np.full(log_density.shape, np.nan)
    ranks[:, known] = (rankdata(log_density[:, known], axis=1) - 1) / (
        count - 1)
    tenth = max(1, round(0.1 * count))
    rarest = [set(np.argsort(each[known], kind='stable')[:tenth].tolist())
              for each in log_density]
    with warnings.catch_warnings():
        # of what is constant there is no correlation
        warnings.simplefilter('ignore')
        of_density, of_weights = (float(spearmanr(*pair).statistic) for pair in
                                  (log_density[:, known], weights))
    return Comparison(ids, log_density, weights, ranks, of_density, of_weights,
                      rare_overlap=len(rarest[0] & rarest[1]) / tenth)


def summarize_comparison(comparison: Comparison, count: int = 10) -> str:
    """Describe a comparison and its largest disagreements, in several lines."""
    known = int((~np.isnan(comparison.ranks[0])).sum())
    rows = [
        ('common annotations',
         f'{len(comparison.ids)}, {known} with densities in both'),
        ('rank correlation of log density',
         f'{comparison.density_correlation:.3f}'),
        ('rank correlation of weights', f'{comparison.weight_correlation:.3f}'),
        ('effective sample sizes', ' and '.join(
            f'{effective_sample_size(each):.4f}'
            for each in comparison.weights)),
        ('in both rarest tenths', f'{comparison.rare_overlap:.1%}'),
    ]
    lines = [f'{name:<32} {value}' for name, value in rows]
    lines.append('largest disagreements: id, share of poses that are rarer, '
                 'weight')
    for index in comparison.disagreements(count):
        ranks, weights = comparison.ranks[:, index], comparison.weights[:, index]
        lines.append(
            f'{comparison.ids[index]:>15} {ranks[0]:8.1%} {ranks[1]:8.1%} '
            f'{weights[0]:9.3g} {weights[1]:9.3g}')
    return '\n'.join(lines)
