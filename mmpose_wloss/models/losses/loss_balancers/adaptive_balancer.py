"""Balance by the mean absolute error of each term."""

from collections.abc import Mapping, Sequence

from mmengine.dist import all_reduce, get_world_size
from mmpose.registry import MODELS
from torch import Tensor

from ....common import checks
from .loss_balancer import LossBalancer


@MODELS.register_module()
class AdaptiveBalancer(LossBalancer):
    r"""Divides each term by its mean absolute error of the batch.

    .. math::
        L = \sum_i \frac{1}{\overline{\lvert p_i - y_i \rvert}}
        \; \frac{1}{B} \sum_j m_{ij} (p_{ij} - y_{ij})^2

    The mean is over all elements of all processes whose weight :math:`m` is
    not 0; no gradient goes through it. Pairs of any unit get gradients of one
    size with respect to their predictions. Before these, a unit still counts
    once: where one task's output is scaled by 100, its gradient with respect
    to what is scaled is 100 times as large, with equal weights 10,000 times.

    The adaptive loss of integral 3D pose, whose "adaptive H1" has the pairs of
    2D and 3D heatmaps, and "adaptive I1" their integrals too. A scalar loss L
    has the weight 1 / L, its mean over the processes where it is not 0.

    Args:
        terms (list[str]): Names of the terms.
        eps (float): Least mean absolute error to divide by, in the unit of
            the term, so that a pair which agrees exactly has a finite weight.
        reduction, kwargs: See :class:`LossBalancer`.

    Example:
        >>> import torch
        >>> balancer = AdaptiveBalancer(['pixels', 'meters'])
        >>> zeros = torch.zeros(2, 3)
        >>> result = balancer(dict(pixels=(zeros + 8, zeros, None),
        ...                        meters=(zeros + 0.5, zeros, None)))
        >>> result['weight_pixels'], result['weight_meters']
        (tensor(0.1250), tensor(2.))
        >>> result['loss_pixels'], result['loss_meters']
        (tensor(24.), tensor(1.5000))
    """

    LEARNS_FROM_ERRORS = True

    def __init__(self,
                 terms: Sequence[str],
                 eps: float = 1e-6,
                 reduction: str = 'batch',
                 **kwargs) -> None:
        super().__init__(terms, reduction, **kwargs)
        checks.positive(eps=eps)
        self.eps = eps

    def weigh(self, raw: Tensor, errors: Tensor | None,
              kpis: Mapping[str, Tensor], norms: Tensor | None) -> Tensor:
        if get_world_size() > 1:
            all_reduce(errors)
        total, count = errors
        # a term that nobody sees gets no weight
        return (count > 0) / (total / count.clamp(min=1)).clamp(min=self.eps)
