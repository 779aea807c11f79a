"""Balance by the norms of gradients."""

from collections.abc import Mapping, Sequence

import torch
from mmpose.registry import MODELS
from torch import Tensor

from ....common import checks
from .loss_balancer import LossBalancer


@MODELS.register_module()
class GradNormBalancer(LossBalancer):
    r"""GradNorm: gradients of one size, larger where training lags behind.

    .. math::
        G_i = \lVert \nabla_{shared} w_i L_i \rVert_2, \quad
        r_i = \frac{L_i / L_i(0)}{\overline{L / L(0)}}, \quad
        w \text{ minimizes } \sum_i \lvert G_i - \overline{G} \,
        r_i^\alpha \rvert

    with weights that sum up to the number of terms. Chen et al., `GradNorm
    <https://arxiv.org/abs/1711.02257>`_, 2018, equations 1 and 2.

    Each training step moves the weights once, in their logarithms and by the
    logarithm of how far a gradient is from its goal:

    .. math::
        \log w_i \leftarrow \log w_i - \eta \,
        \mathrm{clip}\left(\log\frac{G_i}{\overline{G} r_i^\alpha},
        -1, 1\right)

    This has the minimum of the paper's loss. The paper's Adam would carry the
    weights below 0 where one has to become 1e-4 of another; in logarithms they
    stay positive at any scale.

    From equal weights, the sum of all gradients shrinks until it is as small as
    the smallest one's. Adam's steps are then tiny, for a thousand iterations or
    more, because it remembers how large gradients were. ``weights='first_batch'``
    avoids this: all weighted gradients are equal from the first batch on.

    Each training step costs one more way back from each term to ``shared``.
    Norms and losses are averaged over the processes that see the term; where
    one is not finite, the weights stay. A term whose loss or gradient is 0, or
    whose loss is negative, keeps its weight, and the others share theirs.

    Args:
        terms (list[str]): Names of the terms.
        alpha (float): How strongly terms that train slowly are preferred; 0
            makes all gradients equal.
        lr (float): Step :math:`\eta` of the weights.
        weights (str): Those at the start: ``'equal'``, or ``'first_batch'``, by
            which the gradients of the first batch are equal. A term that is first
            seen later gets the mean gradient of those seen before.
        reduction, kwargs: See :class:`LossBalancer`.

    Raises:
        ValueError: If an argument is out of its range; in training, if no
            ``shared`` with gradient is given.
    """

    LEARNS_FROM_GRADIENTS = True

    def __init__(self,
                 terms: Sequence[str],
                 alpha: float = 1.5,
                 lr: float = 0.025,
                 weights: str = 'equal',
                 reduction: str = 'mean',
                 **kwargs) -> None:
        super().__init__(terms, reduction, **kwargs)
        checks.non_negative(alpha=alpha)
        checks.positive(lr=lr)
        checks.one_of(('equal', 'first_batch'), weights=weights)
        self.alpha = alpha
        self.lr = lr
        self.start = weights
        self.register_buffer('weights', torch.ones(len(self.terms)))
        # 0 until the term had a loss and a gradient
        self.register_buffer('initial', torch.zeros(len(self.terms)))
        self.register_terms()

    def reset(self) -> None:
        self.weights.fill_(1)
        self.initial.zero_()

    def weigh(self, raw: Tensor, errors: Tensor | None,
              kpis: Mapping[str, Tensor], norms: Tensor | None) -> Tensor:
        if not self.learning:
            return self.weights.clone()
        here = (raw != 0) | (norms != 0)
        (raw, norms), _ = self.mean_over_processes(
            torch.stack([raw, norms]), here.expand(2, -1))
        seen = (raw > 0) & (norms > 0) & (raw + norms).isfinite().all()
        first = seen & (self.initial == 0)
        self.initial.copy_(torch.where(first, raw, self.initial))
        if self.start == 'first_batch':
            self._begin(norms, first, seen)
        weights = self.weights.clone()
        self._learn(raw, norms, seen)
        return weights

    @torch.no_grad()
    def _begin(self, norms: Tensor, first: Tensor, seen: Tensor) -> None:
        """Give the gradients of terms that are seen first the mean of the others'."""
        others = seen & ~first
        mean = (torch.where(others, self.weights * norms, 0).sum() /
                others.sum().clamp(min=1))
        self._share(torch.where(
            first, torch.where(others.any(), mean, 1) / norms, self.weights), seen)

    @torch.no_grad()
    def _learn(self, raw: Tensor, norms: Tensor, seen: Tensor) -> None:
        count = seen.sum().clamp(min=1)
        progress = torch.where(seen, raw / self.initial, 0)
        rate = progress * count / progress.sum()
        gradients = torch.where(seen, self.weights * norms, 0)
        goals = gradients.sum() / count * rate**self.alpha
        gap = (gradients / goals).log().clamp(-1, 1)
        self._share(self.weights * (-self.lr * gap).exp(), seen)

    def _share(self, weights: Tensor, seen: Tensor) -> None:
        """Take new weights of the seen terms, whose sum stays as it was.

        What nobody sees neither gives of its weight nor takes of theirs.
        """
        before, after = (torch.where(seen, each, 0).sum()
                         for each in (self.weights, weights))
        self.weights.copy_(torch.where(
            seen, weights * (before / after), self.weights))
