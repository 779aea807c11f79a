"""Balance by ratios that somebody chose."""

from collections.abc import Mapping, Sequence
from numbers import Real

import torch
from mmengine.logging import MessageHub
from mmpose.registry import MODELS
from torch import Tensor

from .loss_balancer import LossBalancer
from .term_errors import PairError


@MODELS.register_module()
class ManualBalancer(LossBalancer):
    r"""Multiplies each term with a fixed ratio, which epochs can change.

    .. math::
        L = \sum_i \frac{r_i}{B} \sum_j m_{ij} (p_{ij} - y_{ij})^2

    The "Manual" stages of integral 3D pose. The source uses Caffe's Euclidean
    loss, half of this one: ``loss_weight=0.5``.

    Args:
        terms (list[str]): Names of the terms.
        ratios (dict[str, float]): :math:`r_i` of each term, of at least 0.
        schedule (dict[int, dict[str, float]], optional): Ratios that change,
            by the epoch from which they hold. Epochs count from 0, as for
            MMEngine's hooks and schedulers: those of ``{10: ...}`` hold after
            10 epochs were trained. What an entry does not name stays as it
            was. It is looked up at each call, so that a resumed training goes
            on with the ratios of its epoch. It goes by epochs only: MMEngine's
            ``IterBasedTrainLoop`` stays in epoch 0, so that in it no later
            entry ever holds. Defaults to ``None``.
        reduction (str): See :class:`LossBalancer`. Defaults to ``'batch'``,
            as in the source.
        kwargs: See :class:`LossBalancer`.

    Raises:
        ValueError: If a term has no ratio, a ratio no term, or one is
            negative.

    Example:
        >>> import torch
        >>> balancer = ManualBalancer(['heatmap2d', 'heatmap3d'],
        ...                           dict(heatmap2d=1., heatmap3d=0.1))
        >>> result = balancer(dict(heatmap2d=torch.tensor(2.),
        ...                        heatmap3d=torch.tensor(30.)))
        >>> result['loss_heatmap2d'], result['loss_heatmap3d']
        (tensor(2.), tensor(3.))
    """

    def __init__(self,
                 terms: Sequence[str],
                 ratios: Mapping[str, float],
                 schedule: Mapping[int, Mapping[str, float]] | None = None,
                 reduction: str = 'batch',
                 **kwargs) -> None:
        super().__init__(terms, reduction, **kwargs)
        self._check_ratios('ratios', ratios)
        missing = [name for name in self.terms if name not in ratios]
        if missing:
            raise ValueError(
                f'ratios names {sorted(ratios)}, but no ratio of {missing}: '
                'each term needs one, 0 to leave it out')
        rows = {0: dict(ratios)}
        for epoch in sorted(schedule or {}, key=str):
            if not isinstance(epoch, int) or epoch < 0:
                raise ValueError('schedule must have epochs as keys, whole '
                                 f'numbers of at least 0, but has {epoch!r}')
        for epoch, changes in sorted((schedule or {}).items()):
            self._check_ratios(f'schedule[{epoch}]', changes)
            rows[epoch] = {**list(rows.values())[-1], **changes}
        self.epochs = list(rows)
        self.register_buffer('ratios', torch.tensor(
            [[row[name] for name in self.terms] for row in rows.values()]),
            persistent=False)

    def _check_ratios(self, where: str, ratios: Mapping[str, float]) -> None:
        for name, ratio in ratios.items():
            if name not in self.terms:
                raise ValueError(
                    f'{where} has a ratio of {name!r}, which is none of the '
                    f'terms that are made: {self.terms}')
            if not isinstance(ratio, Real) or not 0 <= ratio < float('inf'):
                raise ValueError(f'{where} has the ratio {ratio!r} of '
                                 f'{name!r}, which must be a number of at '
                                 'least 0')

    def weigh(self, raw: Tensor, pairs: list[PairError | None],
              kpis: Mapping[str, Tensor], norms: Tensor | None) -> Tensor:
        now = MessageHub.get_current_instance().get_info('epoch') or 0
        row = sum(epoch <= now for epoch in self.epochs) - 1
        return self.ratios[row].to(raw.dtype)
