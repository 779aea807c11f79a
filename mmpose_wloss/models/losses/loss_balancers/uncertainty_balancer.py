"""Balance by a variance that is learned with the network."""

import math
from collections.abc import Mapping, Sequence

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from ....common import checks
from .loss_balancer import LossBalancer


@MODELS.register_module()
class UncertaintyBalancer(LossBalancer):
    r"""Homoscedastic uncertainty: each term has a variance, which is learned.

    .. math::
        L = \sum_i \frac{1}{2} e^{-s_i} L_i + \frac{1}{2} s_i, \quad
        s_i = \log \sigma_i^2

    Kendall et al., `Multi-Task Learning Using Uncertainty to Weigh Losses
    <https://arxiv.org/abs/1705.07115>`_, CVPR 2018, equation 7. Where a term
    does not move, its variance comes to be its loss, so that all terms have
    equal shares. Losses must be positive; the balanced ones can be negative.

    The model's optimizer trains the variances. They can do with a higher
    learning rate and need no decay, which would draw them to a variance of 1:

    .. code-block:: python

        optim_wrapper = dict(paramwise_cfg=dict(custom_keys={
            'balancer.log_variance': dict(lr_mult=10., decay_mult=0.)}))

    Args:
        terms (list[str]): Names of the terms.
        log_variance (float or str): :math:`s` at the start, or
            ``'first_batch'``: the logarithm of each term's first loss, its
            mean over the processes that see it.
        reduction, kwargs: See :class:`LossBalancer`.

    Raises:
        ValueError: If ``log_variance`` is neither.
    """

    def __init__(self,
                 terms: Sequence[str],
                 log_variance: float | str = 0.,
                 reduction: str = 'mean',
                 **kwargs) -> None:
        super().__init__(terms, reduction, **kwargs)
        if log_variance != 'first_batch':
            checks.within(-math.inf, math.inf, log_variance=log_variance)
        self.start = log_variance
        self.log_variance = nn.Parameter(torch.empty(len(self.terms)))
        self.register_buffer('initialized', torch.empty(len(self.terms),
                                                        dtype=torch.bool))
        self.register_terms()
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        from_batch = self.start == 'first_batch'
        self.log_variance.fill_(0 if from_batch else self.start)
        self.initialized.fill_(not from_batch)

    def forward(self, *args, **kwargs) -> dict[str, Tensor]:
        result = super().forward(*args, **kwargs)
        for name, log_variance in zip(self.terms, self.log_variance,
                                      strict=True):
            # where nobody sees a term, its variance stays as it is
            seen = result[f'raw_{name}'] != 0
            result[f'loss_{name}'] = (result[f'loss_{name}'] +
                                      self.loss_weight * seen * log_variance / 2)
        return result

    def weigh(self, raw: Tensor, errors: Tensor | None,
              kpis: Mapping[str, Tensor], norms: Tensor | None) -> Tensor:
        if self.start == 'first_batch' and self.learning:
            raw, = self.mean_over_processes(raw[None], raw[None] != 0)[0]
            now = ~self.initialized & (raw > 0) & raw.isfinite()
            self.log_variance.data.copy_(torch.where(
                now, raw.log(), self.log_variance.data))
            self.initialized.logical_or_(now)
        return (-self.log_variance).exp() / 2
