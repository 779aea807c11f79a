"""Any head of several losses, with a balancer between them."""

import logging
import re
from collections.abc import Mapping, Sequence

from mmengine.logging import print_log
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, Features
from torch import Tensor, nn

from ...compat.private_api import leaves
from ..losses.loss_balancers.loss_balancer import LossBalancer, measurable

# training steps in which a head may go without a loss that it never returned
PATIENCE = 100


class BalancedLosses:
    """What :func:`BalancedHead` puts before a head's class."""

    balancer: LossBalancer
    balanced_losses: dict[str, str]
    balanced_kpis: dict[str, str]
    shared_layer: str | None
    # what it was not seen to return yet, and for how many training steps
    awaited_values: set[str]
    awaited_steps: int

    @measurable
    def loss(self, feats: Features, *args, **kwargs) -> dict:
        """The head's losses, those named balanced.

        Args:
            feats (Features): What the head computes its losses from.
            args, kwargs: As the head takes them.

        Returns:
            dict: What the head returns, with the results of the balancer
            (:meth:`LossBalancer.forward`) in place of the losses named.

        Raises:
            ValueError: If the head did not return one of them in the first
                100 training steps, or gradients shall be measured where there
                are none.
        """
        values = super().loss(feats, *args, **kwargs)
        self._look_for_typos(values)
        balanced = self.balancer(
            {term: _total(values[key]) if key in values
             else self._nothing(feats)
             for key, term in self.balanced_losses.items()},
            shared=self._shared(feats),
            kpis={term: values.get(key, float('nan'))
                  for term, key in self.balanced_kpis.items()})
        # the losses in their order, in which they are added up
        result = {}
        for key, value in values.items():
            term = self.balanced_losses.get(key)
            if term is None:
                result[key] = value
            else:
                result[f'loss_{term}'] = balanced.pop(f'loss_{term}')
        taken = sorted(balanced.keys() & result.keys())
        if taken or len(result) < len(values):
            raise ValueError(
                f'the terms {self.balancer.terms} give names that other '
                f'values of the head have: {sorted(values)}; name them '
                "otherwise: terms={'name': 'loss'}")
        return {**result, **balanced}

    def _look_for_typos(self, values: Mapping) -> None:
        self.awaited_values -= values.keys()
        if not self.awaited_values or not self.balancer.learning:
            return
        self.awaited_steps += 1
        message = (f'BalancedHead looks for {sorted(self.awaited_values)}, but '
                   f'a {type(self).__bases__[1].__name__} returns '
                   f'{sorted(values)}')
        if self.awaited_steps >= PATIENCE:
            raise ValueError(f'{message}, and so in {PATIENCE} training steps: '
                             'is it a typo?')
        if self.awaited_steps == 1:
            print_log(f'{message}; it counts as a loss of a batch without '
                      f'people, but is an error after {PATIENCE} training '
                      'steps', 'current', logging.WARNING)

    def _nothing(self, feats: Features) -> Tensor:
        """A loss of 0, with a gradient of 0 for what the head depends on.

        DistributedDataParallel, on a process that sees nobody, then does not
        wait for gradients. No element is read: 0 times infinity is none.
        """
        return sum(tensor.reshape(-1)[:0].sum() for tensor in (
            *leaves(feats), *self.parameters()))

    def _shared(self, feats: Features) -> list[Tensor]:
        if not self.balancer.measures_gradients:
            return []
        if self.shared_layer is None:
            shared, where = leaves(feats), 'the features'
        else:
            shared = self.get_submodule(self.shared_layer).parameters()
            where = f'the parameters of {self.shared_layer!r}'
        shared = [tensor for tensor in shared if tensor.requires_grad]
        if not shared:
            raise ValueError(
                f'{type(self.balancer).__name__} measures gradients with '
                f'respect to {where}, none of which requires one: where the '
                'backbone is frozen, name with `shared_layer` the last '
                "trained layer of the head that its losses share, such as "
                "'deconv_layers.3'")
        return shared


def _total(loss: Tensor | Sequence[Tensor]) -> Tensor:
    """A loss as MMEngine adds it up."""
    if isinstance(loss, Tensor):
        return loss.mean()
    return sum(each.mean() for each in loss)


def _term(key: str) -> str:
    """A term's name for a loss, without 'loss' in it."""
    return re.sub(r'[./_-]+', '_', key.replace('loss', '')).strip('_')


@MODELS.register_module()
def BalancedHead(head: ConfigType,
                 balancer: ConfigType,
                 terms: Mapping[str, str] | Sequence[str],
                 kpis: Mapping[str, str] | None = None,
                 shared_layer: str | None = None) -> nn.Module:
    """Builds a head of several losses with a balancer between them.

    The result is the head, of a class derived from its own: it predicts,
    decodes and exports as ever, and has the same keys in its state, beside
    ``balancer.*``. A stock checkpoint loads into it, and what it trains loads
    back into the stock config.

    Some heads, such as RTMOHead and YOLOXPoseHead, leave losses out of a
    batch without people. A loss that is missing is one that nobody sees: 0,
    with a gradient of 0. One that the head has not returned in any of the
    first 100 training steps is taken for a typo: a warning in the first, an
    error in the last.

    The losses come as scalars, so :class:`AdaptiveBalancer`, which here
    divides each by itself, sees no errors of elements.

    Args:
        head (dict): Config of the head, whose ``loss`` returns several.
        balancer (dict): Config of a :class:`LossBalancer`.
        terms (dict or list): Which losses are balanced: by the names that
            their terms get, e.g. ``{'heatmap': 'loss/heatmap'}``, or a list
            of them, for terms of the same names without 'loss'. What else the
            head returns is left as it is.
        kpis (dict, optional): For :class:`DynamicTaskPriorityBalancer`, by
            term what else the head returns that says how well the term is
            solved, in (0, 1), e.g. ``{'heatmap': 'acc_pose'}``. A batch
            without it leaves the term's average. Defaults to ``None``.
        shared_layer (str, optional): Name of a layer in the head, e.g.
            ``'deconv_layers.3'``, with respect to whose parameters gradients
            are measured, as in GradNorm's paper. Defaults to ``None``: with
            respect to the features that the head is given.

    Returns:
        nn.Module: The head.

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
    if not isinstance(terms, Mapping):
        names = [_term(key) for key in terms]
        if not all(names) or len(set(names)) < len(names):
            raise ValueError(
                f'the losses {list(terms)} have no names of their own beside '
                "'loss': name them with terms={'name': 'loss'}")
        terms = dict(zip(names, terms, strict=True))
    keys = list(terms.values())
    if len(set(keys)) < len(keys):
        raise ValueError(f'terms names a loss more than once: {dict(terms)}')
    for term in kpis or {}:
        if term not in terms:
            raise ValueError(f'kpis names {term!r}, which is none of the terms '
                             f'{list(terms)}')

    built = MODELS.build(head)
    stock = type(built)
    for name in ('balancer', 'balanced_losses', 'balanced_kpis',
                 'shared_layer', 'awaited_values', 'awaited_steps'):
        if hasattr(built, name):
            raise ValueError(f'a {stock.__name__} has a {name!r} of its own, '
                             'so BalancedHead cannot give it one')
    if shared_layer is not None:
        try:
            layer = built.get_submodule(shared_layer)
        except AttributeError as error:
            raise ValueError(
                f'a {stock.__name__} has no layer {shared_layer!r} for '
                f'`shared_layer`: {error}') from error
        if not any(True for _ in layer.parameters()):
            raise ValueError(f'the layer {shared_layer!r} has no parameters '
                             'with respect to which to measure gradients')
    built.__class__ = type(f'Balanced{stock.__name__}',
                           (BalancedLosses, stock), {})
    built.balancer = MODELS.build(balancer,
                                  default_args=dict(terms=list(terms)))
    built.balanced_losses = {key: term for term, key in terms.items()}
    built.balanced_kpis = dict(kpis or {})
    built.shared_layer = shared_layer
    built.awaited_values = {*keys, *built.balanced_kpis.values()}
    built.awaited_steps = 0
    return built
