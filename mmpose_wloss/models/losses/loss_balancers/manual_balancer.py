"""Balance by ratios that somebody chose."""

from collections.abc import Mapping, Sequence

import torch
from mmengine.logging import MessageHub
from mmpose.registry import MODELS
from torch import Tensor

from ....common import checks
from ....common.errors import UserError
from .loss_balancer import LossBalancer


@MODELS.register_module()
class ManualBalancer(LossBalancer):
    r"""Multiplies each term with a fixed ratio, which epochs can change.

    .. math::
        L = \sum_i \frac{r_i}{B} \sum_j m_{ij} (p_{ij} - y_{ij})^2

    The "Manual" stages of integral 3D pose. The original code uses Caffe's
    Euclidean loss, half of this one: ``loss_weight=0.5``.

    Args:
        terms (list[str]): Names of the terms.
        ratios (dict[str, float]): :math:`r_i` of each term, of at least 0.
        schedule (dict[int, dict[str, float]], optional): Ratios that change,
            by the epoch from which they hold, counted from 0. What an entry
            does not name stays as it was. MMEngine's ``IterBasedTrainLoop``
            stays in epoch 0, so that in it no later entry ever holds.
        reduction, kwargs: See :class:`LossBalancer`.

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
        schedule = schedule or {}
        checks.whole(0, **{f'epoch {epoch!r} of schedule': epoch
                           for epoch in schedule})
        rows, row = {}, {}
        for epoch, changes in ((0, ratios), *sorted(schedule.items())):
            row = {**row, **changes}
            checks.non_negative(**{
                f'ratio of {name!r} from epoch {epoch}': ratio
                for name, ratio in changes.items()})
            if row.keys() != set(self.terms):
                raise UserError(
                    f'each of the terms {self.terms} needs a ratio, 0 to '
                    f'leave it out, but from epoch {epoch} there are those of '
                    f'{sorted(row)}')
            rows[epoch] = row
        self.epochs = list(rows)
        self.register_buffer('ratios', torch.tensor(
            [[row[name] for name in self.terms] for row in rows.values()]),
            persistent=False)

    def weigh(self, raw: Tensor, errors: Tensor | None,
              kpis: Mapping[str, Tensor], norms: Tensor | None) -> Tensor:
        now = MessageHub.get_current_instance().get_info('epoch') or 0
        row = sum(epoch <= now for epoch in self.epochs) - 1
        return self.ratios[row].to(raw.dtype)
