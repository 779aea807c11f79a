import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from mmengine.dist import all_gather_object, all_reduce_params, get_world_size
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmpose.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from ...common import checks
from ...common.awaited_losses import AwaitedLosses
from ...common.errors import UserError
from ...common.torchjd import build_torchjd
from ...models.module_contexts import recorded
from .bfloat16_optim_wrapper import Bfloat16OptimWrapper

OTHERS = 'others'


@OPTIM_WRAPPERS.register_module()
class JacobianOptimWrapper(OptimWrapper):
    r"""Goes back from each loss alone, and aggregates the gradients by torchjd.

    .. math::
        g = \mathcal{A}(J), \quad
        J = \begin{bmatrix} \nabla L_1 \\ \vdots \\ \nabla L_T \end{bmatrix}

    where :math:`\mathcal{A}` is an aggregator, such as UPGrad, PCGrad or MGDA, that
    makes one gradient of those of T losses over all of the optimizer's parameters.
    With ``Sum`` it is the step of a stock ``OptimWrapper``.

    The losses are those that the model adds up: what it returns under names with
    'loss' in it. While gradients accumulate, J does, and is aggregated before the
    step. With several processes J is averaged over them first, so that the step is
    that of one process with the whole batch. DistributedDataParallel's own
    averaging is then off.

    A step goes back T times, and holds T gradients. A parameter that no loss
    depends on gets a gradient of 0. The log has ``weight_<loss>``, how much of each
    gradient is in g, of aggregators that weigh.

    Needs torch 2.3 and ``pip install "mmpose_wloss[torchjd]"``.

    Args:
        optimizer (Optimizer): The optimizer.
        aggregator (str or dict): A class of ``torchjd.aggregation`` by name, or a
            dict with it as ``type`` and its arguments. A tensor is given as a list in
            the order of the losses.
        terms (list[str], optional): Names of the losses, in order. What else the
            model adds up is one more, ``others``. By default, all that it returns in
            the first step. A loss that is missing in a batch has the gradient 0; one
            that is missing in 100 steps is an error.
        parallel_chunk_size (int, optional): How many losses to go back from at once,
            by ``torch.vmap``; ``None``: from all. That takes more memory, and not every
            operation can.
        kwargs: Those of ``OptimWrapper``.

    Raises:
        UserError: If torchjd is missing, has no such aggregator, or it refuses its
            arguments; in training, if the losses cannot be told apart.

    Example:
        .. code-block:: python

            optim_wrapper = dict(type='JacobianOptimWrapper', aggregator='UPGrad')
    """

    def __init__(self,
                 optimizer,
                 aggregator: str | Mapping,
                 terms: Sequence[str] | None = None,
                 parallel_chunk_size: int | None = 1,
                 **kwargs) -> None:
        super().__init__(optimizer, **kwargs)
        if terms is not None and (
                isinstance(terms, str) or not terms or len(set(terms)) < len(terms)
                or OTHERS in terms):
            raise UserError('terms must be a list of different names of losses, '
                            f'but it is {terms!r}')
        if parallel_chunk_size is not None:
            checks.whole(1, parallel_chunk_size=parallel_chunk_size)
        self.aggregator = build_torchjd('aggregator', aggregator, terms or ())
        self.terms = terms and list(terms)
        self.awaited = AwaitedLosses(terms or (), 'JacobianOptimWrapper')
        self.parallel_chunk_size = parallel_chunk_size
        # names of the Jacobian's rows, known from the first step on
        self.rows = None
        self.calls = []

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Sees what the model returns, of which it is given the sum alone."""
        self.model = model.module if is_model_wrapper(model) else model
        with super().optim_context(model), recorded(
                self.model, 'forward', keep=len) as self.calls:
            yield

    def should_sync(self) -> bool:
        """Never, as gradients do not go through what synchronizes them."""
        return False

    def backward(self, loss: Tensor, **kwargs) -> None:
        """Add each loss's gradient to the Jacobian.

        Args:
            loss (Tensor): The sum of all losses, scaled.
            kwargs: Keyword arguments of ``torchjd.autojac.backward``.

        Raises:
            UserError: If the losses cannot be told apart.
        """
        from torchjd import autojac

        autojac.backward(self._rows(loss), inputs=self._parameters(), **{
            'parallel_chunk_size': self.parallel_chunk_size, **kwargs})
        self._inner_count += 1

    def step(self, **kwargs) -> None:
        """Aggregate the Jacobian, then step."""
        from torchjd import autojac
        from torchjd.aggregation import GramianWeightedAggregator

        parameters = self._parameters()
        all_reduce_params([each.jac for each in parameters], op='mean')
        # of the Jacobian's parts, with no copy of it as a whole
        by_parts = dict(optimize_gramian_computation=True) if isinstance(
            self.aggregator, GramianWeightedAggregator) else {}
        weights = autojac.jac_to_grad(
            parameters, self.aggregator.to(parameters[0].device), **by_parts)
        if get_world_size() > 1:
            # some aggregators draw numbers
            all_reduce_params([each.grad for each in parameters], op='mean')
        if weights is not None:
            for name, weight in zip(self.rows, weights.tolist(), strict=True):
                self.message_hub.update_scalar(f'train/weight_{name}', weight)
        super().step(**kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        """Load the optimizer's state."""
        super().load_state_dict(state_dict)
        if hasattr(self.aggregator, 'reset'):
            print_log(f'The averages of {self.aggregator} start anew: they are not '
                      'in the checkpoint', 'current', logging.WARNING)

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups
                for parameter in group['params'] if parameter.requires_grad]

    def _rows(self, loss: Tensor) -> list[Tensor]:
        """The losses, scaled as their sum is."""
        returned = [result for _, result in self.calls if isinstance(result, dict)]
        self.calls = []
        if not returned:
            raise UserError(
                'JacobianOptimWrapper did not see the losses: the train_step of the '
                'model must call it in optim_context, or take another optim_wrapper')
        _, values = self.model.parse_losses(returned[-1])
        losses = {name: self.scale_loss(values[name]) for name in returned[-1]
                  if 'loss' in name}
        self.awaited.look_for(losses, type(self.model).__name__)
        others = [name for name in losses if name not in (self.terms or losses)]
        if self.rows is None:
            self.rows = [*(self.terms or losses), *[OTHERS] * bool(others)]
            if any(rows != self.rows for rows in all_gather_object(self.rows)):
                raise UserError(
                    'processes have different losses in the first step, as '
                    f'{self.rows}: name those that the model may return in terms of '
                    'JacobianOptimWrapper')
        if others:
            losses[OTHERS] = sum(losses.pop(name) for name in others)
        unknown = losses.keys() - set(self.rows)
        if unknown:
            raise UserError(
                'JacobianOptimWrapper has a row for each of the losses of the first '
                f'step, {self.rows}, but now there are also {sorted(unknown)}: name '
                'those that it may return in terms')
        return [losses[name] if name in losses and losses[name].requires_grad
                else 0 * loss for name in self.rows]


@OPTIM_WRAPPERS.register_module()
class Bfloat16JacobianOptimWrapper(JacobianOptimWrapper, Bfloat16OptimWrapper):
    """A :class:`JacobianOptimWrapper` under autocast in bfloat16.

    Heads give their outputs in float32, as with :class:`Bfloat16OptimWrapper`. There
    is none in float16, whose loss is scaled: not every aggregator takes J times a
    factor for J.
    """
