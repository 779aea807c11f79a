"""What all balancers of losses share."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from numbers import Integral

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import MessageHub, print_log
from mmengine.runner.amp import autocast
from torch import Tensor, nn

from .term_errors import Pair, PairError, scalar_loss


def measurable(loss: Callable) -> Callable:
    """Keep a head's loss out of graphs where its balancer measures gradients.

    In a compiled graph, losses do not depend on features that it gives beside
    them, and every norm is 0.

    Args:
        loss (Callable): The method of a head with a ``balancer``.

    Returns:
        Callable: The method.
    """
    eager_loss = torch.compiler.disable(loss)

    @wraps(loss)
    def method(self, *args, **kwargs):
        measured = self.balancer.measures_gradients
        return (eager_loss if measured else loss)(self, *args, **kwargs)

    return method


class LossBalancer(nn.Module, metaclass=ABCMeta):
    r"""Weighs the terms of a loss against each other.

    A term is a pair of prediction and target with an optional weight, whose
    loss is

    .. math:: L = \frac{1}{N} \sum_j m_j (p_j - y_j)^2

    or a loss that was computed elsewhere, a scalar. A subclass gives each
    term's loss a weight.

    A model gives the names of its terms when it builds its balancer:
    ``MODELS.build(cfg, default_args=dict(terms=[...]))``. The loss of a pair
    is computed in at least float32. State is kept in buffers and parameters:
    it is saved with a checkpoint, changes only while training with gradients,
    and is the same on all processes.

    Args:
        terms (list[str]): Names of the terms. None may contain 'loss', since
            MMEngine adds up all values whose names do, nor a dot.
        reduction (str): N of pairs: ``'batch'``, the number of samples B, or
            ``'mean'``, the number of elements whose weight is not 0.
        loss_weight (float): Weight of the sum of all terms, at least 0.
            Defaults to 1.
        grad_norm_interval (int): While training, every so many iterations the
            result holds the norm of each term's gradient, which costs another
            way back from each term to ``shared``. Defaults to 0: never.

    Raises:
        ValueError: If the arguments do not fit.
    """

    # whether `weigh` needs the absolute errors of pairs
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
        if not terms:
            raise ValueError('terms must name at least one term of the loss')
        for term in terms:
            if terms.count(term) > 1:
                raise ValueError(f'terms names {term!r} more than once: '
                                 f'{terms}')
            if not term or 'loss' in term or '.' in term:
                raise ValueError(
                    f"the term {term!r} must have a name without 'loss' (the "
                    'values with it in their names are added up) and without '
                    'a dot')
        if reduction not in ('batch', 'mean'):
            raise ValueError("reduction must be 'batch' or 'mean', but it is "
                             f'{reduction!r}')
        if not 0 <= loss_weight < float('inf'):
            raise ValueError('loss_weight must be a number of at least 0, but it '
                             f'is {loss_weight}')
        if not isinstance(grad_norm_interval, Integral) or (
                grad_norm_interval < 0):
            raise ValueError('grad_norm_interval must be a whole number of '
                             'iterations or 0 (never), but it is '
                             f'{grad_norm_interval}')
        self.terms = terms
        self.reduction = reduction
        self.loss_weight = loss_weight
        self.grad_norm_interval = grad_norm_interval

    @abstractmethod
    def weigh(self, raw: Tensor, pairs: list[PairError | None],
              kpis: Mapping[str, Tensor], norms: Tensor | None) -> Tensor:
        """Weights of the terms of one batch.

        Args:
            raw (Tensor): The terms' losses in shape [T], without gradient.
            pairs (list[PairError | None]): Errors of the terms that are
                pairs, ``None`` of the scalars.
            kpis (dict[str, Tensor]): Measured figures by term.
            norms (Tensor, optional): Norms of the losses' gradients in shape
                [T], where they were measured.

        Returns:
            Tensor: Their weights in shape [T].
        """

    def forward(self,
                terms: Mapping[str, Pair | Tensor],
                shared: Tensor | Sequence[Tensor] | None = None,
                kpis: Mapping[str, Tensor] | None = None
                ) -> dict[str, Tensor]:
        """Balance the terms of one batch.

        Args:
            terms (dict): By name, ``(prediction, target, weight)`` or a
                scalar loss. A weight is ``None`` or a tensor in a shape that
                the prediction's begins with; elements of weight 0 count
                nowhere, whatever they hold.
            shared (Tensor or list[Tensor], optional): Features or parameters
                that all terms depend on, with respect to which gradients are
                measured. Defaults to ``None``.
            kpis (dict, optional): Figures in (0, 1) by term that say how well
                it is solved, 1 at best. Defaults to ``None``.

        Returns:
            dict[str, Tensor]: Of each term ``loss_<term>``, balanced and with
            gradient; ``weight_<term>``, what its loss was multiplied with;
            ``raw_<term>``, its loss before; in iterations of
            ``grad_norm_interval`` also ``grad_norm_<term>``, the L2 norm of
            the balanced loss's gradient with respect to ``shared``.

        Raises:
            ValueError: If a term is missing or unknown, shapes do not fit, or
                something needed was not given.
        """
        kpis = kpis or {}
        self._check_names(terms, kpis)
        losses, pairs = [], []
        for name in self.terms:
            loss, pair = self._loss(name, terms[name])
            losses.append(loss)
            pairs.append(pair)
        raw = torch.stack([loss.detach() for loss in losses])
        norms = None
        if self.measures_gradients:
            shared = [shared] if isinstance(shared, Tensor) else shared
            norms = self._gradient_norms(losses, raw, shared)
        weights = self.loss_weight * self.weigh(raw, pairs, kpis, norms)
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

    def _check_names(self, terms: Mapping, kpis: Mapping) -> None:
        missing = [name for name in self.terms if name not in terms]
        unknown = [name for name in terms if name not in self.terms]
        if missing or unknown:
            raise ValueError(
                f'{type(self).__name__} balances the terms {self.terms}, but '
                + ' and '.join([f'{name!r} is missing' for name in missing] +
                               [f'{name!r} is given' for name in unknown]))
        for name in kpis:
            if name not in self.terms:
                raise ValueError(
                    f'kpis has a figure of {name!r}, which is none of the '
                    f'terms {self.terms}')

    def _loss(self, name: str,
              term: Pair | Tensor) -> tuple[Tensor, PairError | None]:
        if isinstance(term, Tensor):
            return scalar_loss(name, term), None
        if not isinstance(term, (tuple, list)) or len(term) not in (2, 3):
            raise ValueError(
                f'the term {name!r} must be a scalar loss or a tuple of '
                'prediction, target and weight (or None), but it is a '
                f'{type(term).__name__}')
        pair = PairError(name, *term, with_magnitude=self.LEARNS_FROM_ERRORS)
        if self.reduction == 'batch':
            return pair.squares() / pair.batch, pair
        if isinstance(pair.count, Tensor):
            return pair.squares() / pair.count.clamp(min=1), pair
        return pair.squares() / max(pair.count, 1), pair

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

    def _gradient_norms(self, losses: list[Tensor], raw: Tensor,
                        shared: Sequence[Tensor] | None) -> Tensor:
        if not shared:
            raise ValueError(
                f'{type(self).__name__} measures gradients, but got no '
                '`shared`: features or parameters that all terms depend on')
        for tensor in shared:
            if not tensor.requires_grad:
                raise ValueError(
                    f'{type(self).__name__} measures gradients with respect '
                    f'to `shared`, but its tensor in shape '
                    f'{tuple(tensor.shape)} requires none: a frozen backbone? '
                    'Then give parameters of a layer that is trained')
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
        """Means over those processes that see a term, in one go.

        A process whose part of the batch has nothing of a term knows nothing
        about it, and would draw the means of the others towards 0.

        Args:
            values (Tensor): In shape [N, T].
            seen (Tensor): Whether this process sees it, in shape [N, T].

        Returns:
            tuple[Tensor, Tensor]: The means, 0 where no process sees it, and
            whether one does, both in shape [N, T].
        """
        sums, counts = torch.where(seen, values, 0), seen.to(values)
        if get_world_size() > 1:
            stacked = torch.stack([sums, counts])
            all_reduce(stacked)
            sums, counts = stacked
        return sums / counts.clamp(min=1), counts > 0

    # what was learnt

    def register_terms(self) -> None:
        """Keep the terms' names with the state, so that no other's is loaded.

        For subclasses with state, after its buffers are there.
        """
        names = '\n'.join(self.terms).encode()
        self.register_buffer('names', torch.tensor(list(names),
                                                   dtype=torch.uint8))

    def reset(self) -> None:
        """Forget what was learnt; for subclasses with state."""

    def _load_from_state_dict(self, state_dict: dict, prefix: str,
                              *args) -> None:
        loaded = {key[len(prefix):]: value
                  for key, value in state_dict.items()
                  if key.startswith(prefix)}
        own = {key: value for key, value in
               (*self._buffers.items(), *self._parameters.items())
               if key not in self._non_persistent_buffers_set}
        fits = loaded.keys() == own.keys() and all(
            loaded[key].shape == own[key].shape for key in own)
        if fits and (not own or torch.equal(loaded['names'].cpu(),
                                            self.names.cpu())):
            super()._load_from_state_dict(state_dict, prefix, *args)
            return
        self.reset()
        found = 'no state of a balancer'
        if 'names' in loaded:
            terms = bytes(loaded['names'].tolist()).decode()
            found = f'state of terms {terms.splitlines()}'
        elif loaded:
            found = f'state of another balancer, {sorted(loaded)}'
        print_log(f'{type(self).__name__} of the terms {self.terms} starts '
                  f'anew: the checkpoint has {found}', 'current')
