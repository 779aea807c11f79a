"""Balance by how far each term still is from being solved."""

from collections.abc import Mapping, Sequence

import torch
from mmpose.registry import MODELS
from torch import Tensor

from ....common import checks
from ....common.errors import UserError
from .loss_balancer import LossBalancer


@MODELS.register_module()
class DynamicTaskPriorityBalancer(LossBalancer):
    r"""Dynamic task prioritization: the harder a term is, the more it weighs.

    .. math::
        L = \sum_i -(1 - k_i)^\gamma \log(k_i) \, L_i

    where :math:`k_i` is the moving average of a figure in (0, 1) that says
    how well the term is solved. Guo et al., `Dynamic Task Prioritization for
    Multitask Learning
    <https://openaccess.thecvf.com/content_ECCV_2018/html/Michelle_Guo_Focus_on_the_ECCV_2018_paper.html>`_,
    ECCV 2018. Of its two levels this is the task level alone; the focal loss
    of each example belongs into the terms themselves.

    A term without a measured figure, such as an accuracy, has its relative
    progress since its first loss, :math:`1 - L_i / L_i(0)`. The weights do not
    depend on the losses' scales, and do not make up for them.

    Figures and losses are averaged over the processes that have one. Where
    nobody sees a term (a figure of NaN, a loss of 0), its average stays.

    Args:
        terms (list[str]): Names of the terms.
        gamma (float): How strongly weights fall with progress, at least 0.
        momentum (float): Share of the latest figure in the moving average, in
            (0, 1].
        eps (float): Figures are kept within [eps, 1 - eps], in (0, 0.5].
        reduction, kwargs: See :class:`LossBalancer`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self,
                 terms: Sequence[str],
                 gamma: float = 1.,
                 momentum: float = 0.1,
                 eps: float = 1e-3,
                 reduction: str = 'mean',
                 **kwargs) -> None:
        super().__init__(terms, reduction, **kwargs)
        checks.non_negative(gamma=gamma)
        checks.positive(momentum=momentum, eps=eps)
        checks.within(0, 1, momentum=momentum)
        checks.within(0, 0.5, eps=eps)
        self.gamma = gamma
        self.momentum = momentum
        self.eps = eps
        # 0 until there was a figure, or a loss
        self.register_buffer('averages', torch.zeros(len(self.terms)))
        self.register_buffer('initial', torch.zeros(len(self.terms)))
        self.register_terms()

    def reset(self) -> None:
        self.averages.zero_()
        self.initial.zero_()

    def weigh(self, raw: Tensor, errors: Tensor | None,
              kpis: Mapping[str, Tensor], norms: Tensor | None) -> Tensor:
        if self.learning:
            self._learn(raw, kpis)
        k = self.averages.clamp(self.eps, 1 - self.eps).to(raw.dtype)
        return -(1 - k)**self.gamma * k.log()

    @torch.no_grad()
    def _learn(self, raw: Tensor, kpis: Mapping[str, Tensor]) -> None:
        measured = torch.stack([
            self._figure(name, kpis.get(name, float('nan')), raw)
            for name in self.terms])
        (raw, measured), (_, known) = self.mean_over_processes(
            torch.stack([raw, measured]),
            torch.stack([raw != 0, measured.isfinite()]))
        first = (self.initial == 0) & (raw > 0) & raw.isfinite()
        self.initial.copy_(torch.where(first, raw, self.initial))
        # not finite where nobody sees a term, whose average then stays
        measured = torch.where(known, measured, float('nan'))
        progress = torch.where(raw > 0, 1 - raw / self.initial, float('nan'))
        figures = torch.stack([
            each[0] if name in kpis else each[1] for name, *each in
            zip(self.terms, measured, progress, strict=True)])
        known = figures.isfinite()
        figures = figures.clamp(self.eps, 1 - self.eps).to(self.averages)
        moved = torch.where(self.averages == 0, figures,
                            self.averages.lerp(figures, self.momentum))
        self.averages.copy_(torch.where(known, moved, self.averages))

    @staticmethod
    def _figure(name: str, figure: Tensor | float, like: Tensor) -> Tensor:
        if not isinstance(figure, Tensor):
            # no copy from the host, for which an accelerator would wait
            return like.new_full((), figure)
        if figure.numel() != 1:
            raise UserError(f'the figure of {name!r} in kpis must be a single '
                            f'number, but its shape is {tuple(figure.shape)}')
        return figure.detach().reshape(()).to(like)
