"""What a pose's vector holds where a joint is missing."""

from typing import TYPE_CHECKING

import numpy as np

from ..common.errors import UserError

if TYPE_CHECKING:
    # takes 0.2 s, with the pandas that it imports where there is one
    from sklearn.decomposition import PCA

MISSING = ('zero', 'mean', 'conditional')
CHUNK = 8192


def fill_with_mean(vectors: np.ndarray, observed: np.ndarray,
                   mean: np.ndarray | None = None) -> np.ndarray:
    """Fill what is missing with the mean of what is there.

    Args:
        vectors (np.ndarray): In shape [N, D].
        observed (np.ndarray): Which values are there, bool in shape [N, D].
        mean (np.ndarray, optional): In shape [D]; by default that of the
            observed values.

    Raises:
        UserError: If a value is never there.
    """
    if mean is None:
        counts = observed.sum(0)
        if not counts.all():
            raise UserError(
                f'joint number {counts.argmin() // 2} is visible in no pose: '
                "leave it out of the poses, or use missing='zero'")
        mean = (vectors * observed).sum(0) / counts
    return np.where(observed, vectors, mean)


def conditional_mean(pca: 'PCA', vectors: np.ndarray,
                     observed: np.ndarray) -> np.ndarray:
    r"""Fill what is missing with its mean given what is there, under the PCA.

    A PCA with :math:`k` axes :math:`V`, variances :math:`\lambda` and noise
    :math:`\sigma^2` is a Gaussian (Tipping & Bishop 1999). Given the observed
    part :math:`o` of a vector, its place on the axes has the mean

    .. math:: u = (V_o V_o^T + \sigma^2 \Lambda^{-1})^{-1} V_o (x_o - \mu_o),
        \quad \Lambda = \mathrm{diag}(\lambda - \sigma^2),

    and what is missing the mean :math:`\mu + V^T u`.

    Args:
        pca (PCA): A fitted PCA of D dimensions.
        vectors (np.ndarray): In shape [N, D].
        observed (np.ndarray): Which values are there, bool in shape [N, D].
    """
    filled = np.array(vectors, np.float64)
    incomplete = np.flatnonzero(~observed.all(1))
    axes, variances = pca.components_, pca.explained_variance_
    # without a rest there is no noise, and the system may be singular
    noise = max(float(pca.noise_variance_), 1e-6 * variances[0])
    prior = np.diag(noise / (variances - noise).clip(1e-3 * noise))
    for start in range(0, len(incomplete), CHUNK):
        rows = incomplete[start:start + CHUNK]
        there = observed[rows].astype(np.float64)
        offsets = (filled[rows] - pca.mean_) * there
        precisions = np.einsum('kd,nd,ld->nkl', axes, there, axes,
                               optimize=True) + prior
        places = np.linalg.solve(precisions, (offsets @ axes.T)[..., None])
        filled[rows] = np.where(observed[rows], filled[rows],
                                pca.mean_ + places[..., 0] @ axes)
    return filled
