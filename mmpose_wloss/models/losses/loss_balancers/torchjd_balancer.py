"""Balance by a scalarizer of torchjd."""

import copy
from collections.abc import Mapping, Sequence

import torch
from mmengine.dist import broadcast
from mmengine.logging import MessageHub
from mmengine.runner.amp import autocast
from mmpose.registry import MODELS
from torch import Tensor

from ....common.torchjd import build_torchjd
from ....compat.torchjd_state import plain_state, restore_plain_state
from .loss_balancer import LossBalancer


@MODELS.register_module()
class TorchJDBalancer(LossBalancer):
    r"""Any scalarizer of torchjd: DWA, FAMO, IMTL-L, geometric mean, STCH, …

    A scalarizer makes one number :math:`S(L_1, …, L_T)` of the losses. Each term
    weighs as much as that number depends on it, so that the network gets the
    gradient of S:

    .. math::
        L = \sum_i w_i L_i, \quad
        w_i = \frac{\partial S}{\partial L_i}(\overline{L}_1, …, \overline{L}_T)

    where :math:`\overline{L}_i` is the mean over the processes that see the term. A
    scalarizer with parameters, such as IMTL-L, adds ``loss_scalarizer``, which is
    :math:`S(\overline{L}) - \sum_i w_i \overline{L}_i` and has their gradient alone.
    The model's optimizer trains them. A term that nobody sees counts in S as it
    did when somebody last saw it, and before that as 1.

    DWA rolls on at the first step of each epoch. It needs epochs, which MMEngine's
    ``IterBasedTrainLoop`` does not count. FAMO learns from losses before and after a
    step: in its paper of one batch, which takes a second forward pass, here of
    this batch and the next.

    Needs torch 2.3 and ``pip install "mmpose_wloss[torchjd]"``.

    Args:
        terms (list[str]): Names of the terms.
        scalarizer (str or dict): A class of ``torchjd.scalarization`` by name, or a
            dict with it as ``type`` and its arguments. A tensor is given as a dict
            by term, and ``shape`` is filled in.
        reduction, kwargs: See :class:`LossBalancer`.

    Raises:
        UserError: If torchjd is missing, has no such scalarizer, or it refuses its
            arguments.

    Example:
        .. code-block:: python

            balancer=dict(type='TorchJDBalancer', scalarizer='FAMO')
            balancer=dict(type='TorchJDBalancer', scalarizer=dict(
                type='STCH', mu=0.1, weights=dict(heatmap=0.5, depth=0.5)))
    """

    def __init__(self,
                 terms: Sequence[str],
                 scalarizer: str | Mapping,
                 reduction: str = 'mean',
                 **kwargs) -> None:
        super().__init__(terms, reduction, **kwargs)
        self.scalarizer = build_torchjd('scalarizer', scalarizer, self.terms)
        self.has_own_optimizer = hasattr(self.scalarizer, 'update')
        if self.has_own_optimizer:
            self.scalarizer.requires_grad_(False)
        # -1 before the first training step
        self.register_buffer('epoch', torch.tensor(-1))
        self.register_buffer('latest', torch.ones(len(self.terms)))
        self.register_buffer('history', torch.zeros(4, len(self.terms)))
        self.register_terms()
        self._epoch = -1

    def reset(self) -> None:
        if hasattr(self.scalarizer, 'reset'):
            self.scalarizer.reset()
        self._epoch = -1
        self.epoch.fill_(-1)
        self.latest.fill_(1)
        self.history.zero_()

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._epoch = self.epoch.item()
        if self._epoch >= 0:
            restore_plain_state(self.scalarizer, self.history, self.latest)

    def forward(self, *args, **kwargs) -> dict[str, Tensor]:
        result = super().forward(*args, **kwargs)
        if self.learning and any(parameter.requires_grad for parameter in
                                 self.scalarizer.parameters()):
            losses = self.latest.clone()
            weights = torch.stack([result[f'weight_{name}'] for name in self.terms])
            with autocast(losses.device.type, enabled=False):
                result['loss_scalarizer'] = (
                    self.loss_weight * self.scalarizer(losses) -
                    (weights * losses).sum())
        return result

    # differentiates inside of the step
    @torch.compiler.disable
    def weigh(self, raw: Tensor, errors: Tensor | None,
              kpis: Mapping[str, Tensor], norms: Tensor | None) -> Tensor:
        seen = (raw != 0) & raw.isfinite()
        scalarizer, losses = self.scalarizer, raw
        if self.learning:
            (losses, ), (seen, ) = self.mean_over_processes(raw[None], seen[None])
        else:
            scalarizer = copy.deepcopy(scalarizer)
        losses = torch.where(seen, losses, self.latest.to(raw))
        if self.learning:
            self._learn(losses)
        # half precision does not hold what is in between
        with torch.enable_grad(), autocast(raw.device.type, enabled=False):
            losses = losses.clone().requires_grad_()
            weights, = torch.autograd.grad(scalarizer(losses), losses)
        if self.learning:
            # some draw numbers
            broadcast(weights)
            self.history.copy_(plain_state(scalarizer, self.latest))
        return weights.to(raw.dtype)

    def _learn(self, losses: Tensor) -> None:
        epoch = MessageHub.get_current_instance().get_info('epoch') or 0
        if self._epoch >= 0 and self.has_own_optimizer:
            self.scalarizer.requires_grad_(True)
            self.scalarizer.update(losses)
            self.scalarizer.requires_grad_(False)
        if 0 <= self._epoch < epoch and hasattr(self.scalarizer, 'step'):
            self.scalarizer.step()
        self._epoch = epoch
        self.epoch.fill_(epoch)
        self.latest.copy_(losses)
