"""What all balancers of losses share."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import MessageHub, print_log
from mmengine.runner.amp import autocast
from torch import Tensor, nn

from ....common import checks
from ....common.errors import UserError
from ....common.state_dicts import differences

# prediction, target and weight
Pair = tuple[Tensor, Tensor, Tensor | None]


def eager_for_gradient_norms(loss: Callable) -> Callable:
    """Keep a head's loss out of graphs where its balancer measures gradients.

    In a compiled graph, losses do not depend on features that it gives beside
    them, and every norm is 0.
    """
    eager_loss = torch.compiler.disable(loss)

    @wraps(loss)
    def method(self, *args, **kwargs):
        eager = self.balancer.measures_gradients
        return (eager_loss if eager else loss)(self, *args, **kwargs)

    return method


class LossBalancer(nn.Module, metaclass=ABCMeta):
    r"""Weighs the terms of a loss against each other.

    A term is a scalar loss, or a pair of prediction and target with an
    optional weight, whose loss is

    .. math:: L = \frac{1}{N} \sum_j m_j (p_j - y_j)^2

    in at least float32. A model gives the names of its terms:
    ``MODELS.build(cfg, default_args=dict(terms=[...]))``. State is kept in
    buffers and parameters: it is saved with a checkpoint, changes only while
    training with gradients, and is the same on all processes.

    Args:
        terms (list[str]): Names of the terms. None may contain 'loss', since
            MMEngine adds up all values whose names do, nor a dot.
        reduction (str): N of pairs: ``'batch'``, the number of samples B, or
            ``'mean'``, the number of elements whose weight is not 0.
        loss_weight (float): Weight of the sum of all terms, at least 0.
        grad_norm_interval (int): Training iterations between results with the
            norms of the terms' gradients, each another way back to ``shared``.
            0: never.

    Raises:
        ValueError: If the arguments do not fit.
    """

    # whether `weigh` needs the absolute errors of terms
    LEARNS_FROM_ERRORS = False
    # whether `weigh` needs the norms of gradients in each training step
    LEARNS_FROM_GRADIENTS = False

    def __init__(self,
                 terms: Sequence[str],
                 reduction: str,
                 loss_weight: float = 1.,
                 grad_norm_interval: int = 0) -> None:
        super().__init__()
        terms = list(terms)
        if not terms or len(set(terms)) < len(terms) or any(
                not term or 'loss' in term or '.' in term for term in terms):
            raise UserError(
                f"terms must be different names without 'loss' (MMEngine adds "
                f'up all values with it) and without a dot, but are {terms}')
        checks.one_of(('batch', 'mean'), reduction=reduction)
        checks.non_negative(loss_weight=loss_weight)
        checks.whole(0, grad_norm_interval=grad_norm_interval)
        self.terms = terms
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.grad_norm_interval = grad_norm_interval
        self._register_load_state_dict_pre_hook(self._fit_state)

    @abstractmethod
    def weigh(self, raw: Tensor, errors: Tensor | None,
              kpis: Mapping[str, Tensor], norms: Tensor | None) -> Tensor:
        """Weights of the terms of one batch, in shape [T].

        Args:
            raw (Tensor): The terms' losses in shape [T], without gradient.
            errors (Tensor, optional): With ``LEARNS_FROM_ERRORS``, sums and
                numbers of absolute errors in shape [2, T]. A scalar is its own.
            kpis (dict[str, Tensor]): Measured figures by term.
            norms (Tensor, optional): Norms of the losses' gradients in shape [T].
        """

    def forward(self,
                terms: Mapping[str, Pair | Tensor],
                shared: Tensor | Sequence[Tensor] | None = None,
                kpis: Mapping[str, Tensor] | None = None
                ) -> dict[str, Tensor]:
        """Balance the terms of one batch.

        Args:
            terms (dict): By name, a scalar loss or ``(prediction, target,
                weight)`` with ``None`` or a weight in a shape that the
                prediction's begins with. What has the weight 0 counts nowhere.
            shared (Tensor or list[Tensor], optional): Features or parameters
                that all terms depend on, at which gradients are measured.
            kpis (dict, optional): By term, how well it is solved, in (0, 1).

        Returns:
            dict[str, Tensor]: Of each term ``loss_<term>``, balanced and with
            gradient; ``weight_<term>``; ``raw_<term>``, its loss before; in
            iterations of ``grad_norm_interval`` also ``grad_norm_<term>``, the
            L2 norm of the balanced loss's gradient at ``shared``.

        Raises:
            ValueError: If a term is missing or unknown, shapes do not fit, or
                something needed was not given.
        """
        kpis = kpis or {}
        if set(terms) != set(self.terms) or set(kpis) - set(self.terms):
            raise UserError(
                f'{type(self).__name__} balances the terms {self.terms}, but '
                f'got {list(terms)} and kpis of {list(kpis)}')
        losses, errors = zip(*(self._loss(name, terms[name])
                               for name in self.terms), strict=True)
        raw = torch.stack([loss.detach() for loss in losses])
        errors = (torch.stack(errors, 1) if self.LEARNS_FROM_ERRORS else None)
        norms = None
        if self.measures_gradients:
            shared = [shared] if isinstance(shared, Tensor) else shared
            norms = self._gradient_norms(losses, raw, shared)
        weights = self.loss_weight * self.weigh(raw, errors, kpis, norms)
        figures = dict(weight=weights.detach(), raw=raw)
        if norms is not None and self._logs_gradients():
            figures['grad_norm'] = weights.detach().abs() * norms
        result = {f'loss_{name}': weight * loss for name, weight, loss in
                  zip(self.terms, weights, losses, strict=True)}
        for figure, values in figures.items():
            result.update({f'{figure}_{name}': value for name, value in
                           zip(self.terms, values, strict=True)})
        return result

    @property
    def learning(self) -> bool:
        """Whether this call is one of a training step, and may change state."""
        return self.training and torch.is_grad_enabled()

    def _loss(self, name: str,
              term: Pair | Tensor) -> tuple[Tensor, Tensor | None]:
        """A term's loss and, where they are needed, sum and number of errors."""
        errors = None
        if isinstance(term, Tensor):
            if term.numel() != 1:
                raise UserError(
                    f'the loss of the term {name!r} must be a single number, '
                    f'but its shape is {tuple(term.shape)}: give a tuple of '
                    'prediction, target and weight, or reduce it')
            loss = term.reshape(()).to(
                torch.promote_types(term.dtype, torch.float32))
            if self.LEARNS_FROM_ERRORS:
                size = loss.detach().abs()
                errors = torch.stack([size, (size != 0).to(size)])
            return loss, errors
        if not isinstance(term, (tuple, list)) or len(term) not in (2, 3):
            raise UserError(
                f'the term {name!r} must be a scalar loss or a tuple of '
                'prediction, target and weight (or None), but it is a '
                f'{type(term).__name__}')
        prediction, target, weight = *term, *[None] * (3 - len(term))
        shape = tuple(prediction.shape)
        if not shape or target.shape != shape:
            raise UserError(
                f'prediction and target of the term {name!r} must have the same '
                f'shape [B, …], but have {shape} and {tuple(target.shape)}')
        if weight is not None and (
                not weight.ndim or weight.shape != shape[:weight.ndim]):
            raise UserError(
                f"the weight of the term {name!r} must have a shape that the "
                f"prediction's, {shape}, begins with, but it is "
                f'{tuple(weight.shape)}')
        # the square of a half precision difference underflows
        dtype = torch.promote_types(prediction.dtype, torch.float32)
        error = prediction - target.to(dtype)
        count = error.new_full((), error.numel())
        if weight is not None:
            # so that a weight of NaN is not taken for one of 0
            hidden = weight == 0
            trailing = error.shape[weight.ndim:]
            count = (~hidden).sum().to(dtype) * trailing.numel()
            # past autograd: an error of 0 has a gradient of 0 by itself
            error.detach().masked_fill_(
                hidden.reshape(*hidden.shape, *[1] * len(trailing)), 0)
        if self.LEARNS_FROM_ERRORS:
            errors = torch.stack([error.detach().abs().sum(), count])
        # on the way back makes one volume, where a square makes three
        loss = F.mse_loss(error, error.new_zeros(()).expand_as(error),
                          reduction='none')
        if weight is not None:
            loss = weight.to(dtype) * loss[..., None].flatten(weight.ndim).sum(-1)
        divisor = count.clamp(min=1)
        if self.reduction == 'batch':
            divisor = max(len(error), 1)
        return loss.sum() / divisor, errors

    @property
    def measures_gradients(self) -> bool:
        """Whether this call needs ``shared``."""
        return self.learning and (self.LEARNS_FROM_GRADIENTS or
                                  self._logs_gradients())

    def _logs_gradients(self) -> bool:
        if not self.grad_norm_interval:
            return False
        iteration = MessageHub.get_current_instance().get_info('iter') or 0
        return iteration % self.grad_norm_interval == 0

    def _gradient_norms(self, losses: Sequence[Tensor], raw: Tensor,
                        shared: Sequence[Tensor] | None) -> Tensor:
        shared = list(shared or [])
        if not shared or not all(tensor.requires_grad for tensor in shared):
            raise UserError(
                f'{type(self).__name__} measures gradients with respect to '
                '`shared`, features or parameters that all terms depend on '
                'and that require gradients, but got tensors in shape '
                f'{[tuple(tensor.shape) for tensor in shared]}. Where the '
                'backbone is frozen, give parameters of a layer that is '
                'trained (the shared_layer of BalancedHead)')
        # a gradient that half precision holds, whatever the loss's scale
        factors = 1024 / raw.abs().clamp(min=1e-30)
        norms = []
        for loss, factor in zip(losses, factors, strict=True):
            gradients = [None]
            if loss.requires_grad:
                # in which no way back may run
                with autocast(loss.device.type, enabled=False):
                    gradients = torch.autograd.grad(
                        loss, shared, factor.to(loss.dtype),
                        retain_graph=True, allow_unused=True)
            parts = [torch.linalg.vector_norm(gradient, dtype=raw.dtype)
                     for gradient in gradients if gradient is not None]
            norms.append(torch.stack(parts).norm() if parts
                         else raw.new_zeros(()))
        return torch.stack(norms) / factors

    def mean_over_processes(self, values: Tensor,
                            seen: Tensor) -> tuple[Tensor, Tensor]:
        """Means over those processes that see a term, and whether one does.

        All in shape [N, T]; a mean is 0 where no process sees the term.
        """
        sums, counts = torch.where(seen, values, 0), seen.to(values)
        if get_world_size() > 1:
            stacked = torch.stack([sums, counts])
            all_reduce(stacked)
            sums, counts = stacked
        return sums / counts.clamp(min=1), counts > 0

    # state

    def register_terms(self) -> None:
        """Keep the terms' names with the state; for subclasses with state."""
        # no bytes, which overflow where SyncBuffersHook adds those of processes up
        self.register_buffer('names', torch.tensor(
            list('\n'.join(self.terms).encode())))

    def reset(self) -> None:
        """Return to the initial state; for subclasses with state."""

    def _fit_state(self, state_dict: dict, prefix: str, *_) -> None:
        """Start anew from a state of other terms, or of another balancer."""
        own = self.state_dict(prefix=prefix)
        loaded = {key: value for key, value in state_dict.items()
                  if key.startswith(prefix)}
        names = loaded.get(f'{prefix}names')
        if not differences(loaded, own) and (
                names is None or names.tolist() == self.names.tolist()):
            return
        self.reset()
        for key in loaded:
            del state_dict[key]
        state_dict.update(own)
        found = (f'keys {sorted(loaded)}' if names is None else
                 f'terms {bytes(names.tolist()).decode().splitlines()}')
        print_log(f'{type(self).__name__} of the terms {self.terms} starts '
                  f'anew: of a balancer, the checkpoint has {found}', 'current')
