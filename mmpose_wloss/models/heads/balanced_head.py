"""Any head of several losses, with a balancer between them."""

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from mmengine.model import BaseModule
from mmpose.models.losses import MultipleLossWrapper
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, Features
from torch import Tensor

from ...common.awaited_losses import AwaitedLosses
from ...common.errors import UserError
from ...compat.private_api import leaves
from ..losses.loss_balancers.loss_balancer import eager_for_gradient_norms
from ..module_contexts import recorded

# one of the losses that a head adds up
PART = re.compile(r'.+\[\d+\]')


@MODELS.register_module()
class BalancedHead(BaseModule):
    """Holds a stock head of several losses and a balancer between them.

    What the wrapper does not have is read and set on the head. The state has
    the head's own keys, beside ``balancer.*``: a stock checkpoint loads, and
    what is trained loads back into the stock config.

    Some heads, such as RTMOHead and YOLOXPoseHead, leave losses out of a
    batch without people: they count as 0. One that the head has not returned
    in any of the first 100 training steps is taken for a typo: a warning in
    the first, an error in the last.

    The losses come as scalars: :class:`AdaptiveBalancer` divides each by itself.

    A head that adds up the losses of a ``MultipleLossWrapper``, as DSNTHead does,
    returns their sum. In terms, ``loss_kpt[0]`` and ``loss_kpt[1]`` are the first and
    the second of those that ``loss_kpt`` is the sum of.

    Args:
        head (dict): Config of the head, whose ``loss`` returns several.
        balancer (dict): Config of a :class:`LossBalancer`.
        terms (dict or list): The losses to balance, by the names that their
            terms get, e.g. ``{'heatmap': 'loss/heatmap'}``, or a list, for
            terms of the same names without 'loss'.
        kpis (dict, optional): For :class:`DynamicTaskPriorityBalancer`, by
            term what else the head returns that says how well the term is
            solved, in (0, 1), e.g. ``{'heatmap': 'acc_pose'}``.
        shared_layer (str, optional): Name of a layer in the head, e.g.
            ``'deconv_layers.3'``, with respect to whose parameters gradients
            are measured, as in GradNorm's paper. ``None``: with respect to
            the features that the head is given.

    Raises:
        ValueError: If terms, kpis or the layer do not fit.

    Example:
        .. code-block:: python

            model = dict(head=dict(
                _delete_=True,
                type='BalancedHead',
                head=_base_.model.head,
                terms=['loss/heatmap', 'loss/displacement'],
                balancer=dict(type='UncertaintyBalancer')))
    """

    def __init__(self,
                 head: ConfigType,
                 balancer: ConfigType,
                 terms: Mapping[str, str] | Sequence[str],
                 kpis: Mapping[str, str] | None = None,
                 shared_layer: str | None = None) -> None:
        super().__init__()
        self.terms = dict(terms) if isinstance(terms, Mapping) else {
            _term(key): key for key in terms}
        if len(set(self.terms.values())) < len(terms) or '' in self.terms:
            raise UserError(
                f'terms={terms} must give each loss once, a name of its own '
                "without 'loss': set it by terms={'name': 'loss'}")
        self.kpis = dict(kpis or {})
        if not self.kpis.keys() <= self.terms.keys():
            raise UserError(f'kpis={self.kpis} must be of the terms '
                            f'{list(self.terms)}')
        self.shared_layer = shared_layer
        sums = {key.rpartition('[')[0] for key in self.terms.values()
                if PART.fullmatch(key)}
        # the sum of losses that is taken apart
        self.sum = min(sums, default=None)
        # what the head was not seen to return yet, and for how many steps
        self.awaited = AwaitedLosses(
            (*self.terms.values(), *self.kpis.values()), 'BalancedHead')
        self.head = MODELS.build(head)
        if hasattr(self.head, 'balancer'):
            raise UserError(f'a {type(self.head).__name__} has a balancer of '
                            'its own')
        self.balancer = MODELS.build(
            balancer, default_args=dict(terms=list(self.terms)))
        if sums and (len(sums) > 1 or not self._wrappers()):
            raise UserError(
                f'terms={terms} must name losses of one sum, of a head with a '
                f'MultipleLossWrapper, but names those of {sorted(sums)} of a '
                f'{type(self.head).__name__}')
        if shared_layer and not any(
                name.startswith(f'{shared_layer}.')
                for name, _ in self.head.named_parameters()):
            raise UserError(
                f'a {type(self.head).__name__} has no layer with parameters '
                f'that is named shared_layer={shared_layer!r}')
        # those of the head convert old states, and see them as they are
        hooks = self.head._load_state_dict_pre_hooks
        self._load_state_dict_pre_hooks.update(hooks)
        hooks.clear()
        self._register_load_state_dict_pre_hook(self._add_prefix)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__('head'), name)

    def __setattr__(self, name: str, value: Any) -> None:
        # hooks switch what a head has, as `model.head.use_aux_loss`
        head = self.__dict__.get('_modules', {}).get('head')
        ours = name in self.__dict__ or hasattr(type(self), name)
        if hasattr(head, name) and not ours:
            setattr(head, name, value)
        else:
            super().__setattr__(name, value)

    def state_dict(self, *, destination: dict | None = None, prefix: str = '',
                   keep_vars: bool = False) -> dict[str, Tensor]:
        """The head's state under its own keys, and ``balancer.*``."""
        state = self.head.state_dict(
            destination=destination, prefix=prefix, keep_vars=keep_vars)
        return self.balancer.state_dict(
            destination=state, prefix=f'{prefix}balancer.', keep_vars=keep_vars)

    @staticmethod
    def _add_prefix(state_dict: dict, prefix: str, *_) -> None:
        for key in list(state_dict):
            if key.startswith(prefix) and not key.startswith(
                    f'{prefix}balancer.'):
                state_dict[f'{prefix}head.{key[len(prefix):]}'] = (
                    state_dict.pop(key))

    def forward(self, *args, **kwargs):
        """The outputs of the head."""
        return self.head.forward(*args, **kwargs)

    def predict(self, *args, **kwargs):
        """The predictions of the head."""
        return self.head.predict(*args, **kwargs)

    @eager_for_gradient_norms
    def loss(self, feats: Features, *args, **kwargs) -> dict:
        """The head's losses, those named balanced.

        Returns:
            dict: What the head returns, with the results of the balancer
            (:meth:`LossBalancer.forward`) in place of the losses named.

        Raises:
            ValueError: If the head did not return one of them in the first
                100 training steps, or has no gradients to be measured.
        """
        values = (self._taken_apart if self.sum else self.head.loss)(
            feats, *args, **kwargs)
        self.awaited.look_for(values, type(self.head).__name__,
                              self.balancer.learning)
        shared = []
        if self.balancer.measures_gradients:
            shared = (self.head.get_submodule(self.shared_layer).parameters()
                      if self.shared_layer else leaves(feats))
        # as MMEngine adds them up
        totals = {key: sum(each.mean() for each in (
            [value] if isinstance(value, Tensor) else value))
            for key, value in values.items() if key in self.terms.values()}
        balanced = self.balancer(
            {term: totals[key] if key in totals else self._zero(feats)
             for term, key in self.terms.items()},
            shared=[tensor for tensor in shared if tensor.requires_grad],
            kpis={term: values.get(key, float('nan'))
                  for term, key in self.kpis.items()})
        names = {key: f'loss_{term}' for term, key in self.terms.items()}
        if balanced.keys() & (values.keys() - names.keys()):
            raise UserError(
                f'the terms {list(self.terms)} give names that other values of '
                f'the head have: {sorted(values)}; name them otherwise: '
                "terms={'name': 'loss'}")
        # the losses in their order, in which they are added up
        result = {names.get(key, key): balanced.get(names.get(key), value)
                  for key, value in values.items()}
        return {**result, **balanced}

    def _wrappers(self) -> list[MultipleLossWrapper]:
        return [module for module in self.head.modules()
                if isinstance(module, MultipleLossWrapper)]

    # compiled, the sum would not depend on what comes out beside it
    @torch.compiler.disable
    def _taken_apart(self, *args, **kwargs) -> dict:
        """The head's losses, those that it adds up in place of their sum."""
        with ExitStack() as stack:
            calls = [stack.enter_context(recorded(wrapper, 'forward'))
                     for wrapper in self._wrappers()]
            values = self.head.loss(*args, **kwargs)
        if self.sum not in values:
            return values
        parts = [part for call in calls for _, losses in call for part in losses]
        names = [f'{self.sum}[{index}]' for index in range(len(parts))]
        left = set(names) - set(self.terms.values())
        if left:
            raise UserError(f'terms must name each loss of {self.sum}, but '
                            f'{sorted(left)} are missing')
        parts = dict(zip(names, _as_counted(parts, values[self.sum]), strict=True))
        return {name: value for key, each in values.items() for name, value in (
            parts if key == self.sum else {key: each}).items()}

    def _zero(self, feats: Features) -> Tensor:
        """A loss of 0, with a gradient of 0 for what the head depends on.

        DistributedDataParallel, on a process that sees nobody, then does not
        wait for gradients. No element is read: 0 times infinity is none.
        """
        return sum(tensor.reshape(-1)[:0].sum() for tensor in (
            *leaves(feats), *self.parameters()))


def _as_counted(parts: Sequence[Tensor], total: Tensor) -> list[Tensor]:
    """Losses as they count in their sum: DSNTHead leaves one out at last."""
    if not all(part.requires_grad for part in parts):
        return list(parts)
    factors = torch.autograd.grad(total, parts, retain_graph=True,
                                  allow_unused=True)
    return [0 * part if factor is None else factor * part
            for factor, part in zip(factors, parts, strict=True)]


def _term(key: str) -> str:
    """A term's name for a loss, without 'loss' in it."""
    return re.sub(r'[./_-]+', '_', key.replace('loss', '')).strip('_')
