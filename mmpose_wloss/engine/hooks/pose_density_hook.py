import inspect
import math
from collections.abc import Callable, Iterator

import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.utils import apply_to
from mmpose.registry import HOOKS
from torch import Tensor, nn

from ...common.checks import non_negative, whole
from ...common.configs import components_of_class
from ...common.errors import UserError
from ...common.hooks import model_of, progress_of
from ...compat.private_api import leaves
from ...datasets import UnlabeledPoseDataset
from ...datasets.poses import annotation_files, joint_names
from ...datasets.transforms.pose_density_weights import (
    PoseDensityWeights,
    multiply_pose_weights,
)
from ...datasets.wrapped_datasets import wrapped_by
from ...pose_density import PoseDensityArtifact, effective_sample_size

# what MMPose's losses call their weights
WEIGHTS = ('target_weights', 'target_weight', 'keypoint_weights')
# of the weights that a loss is checked with: several losses multiply what
# they compare by them, and are linear for large ones or for small ones alone
SCALES = (0.01, 1., 100.)
TOLERANCE = 0.02


def weighted_datasets(dataset, transforms: tuple[PoseDensityWeights, ...] = ()
                      ) -> Iterator[tuple[PoseDensityWeights, BaseDataset]]:
    """Each weight's transform, with the labeled data sets that it sees.

    Args:
        dataset (Dataset): A data set, or a wrapper of some.
        transforms (tuple[PoseDensityWeights]): Those of wrappers around it.
    """
    pipeline = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    transforms += tuple(transform for transform in pipeline
                        if isinstance(transform, PoseDensityWeights))
    within = wrapped_by(dataset)
    for wrapped in within:
        yield from weighted_datasets(wrapped, transforms)
    if not within and not isinstance(dataset, UnlabeledPoseDataset):
        yield from ((transform, dataset) for transform in transforms)


def check_linear(name: str, loss: Callable[[Tensor], Tensor],
                 weights: Tensor) -> None:
    """Check that a loss is linear in the weights of its samples.

    Args:
        name (str): The loss, for the error.
        loss (Callable): The loss as a function of its target weights.
        weights (Tensor): In the shape of these, [B, K, …].

    Raises:
        UserError: If the loss of a sum of weights is not the losses' sum.
    """
    draw = torch.Generator().manual_seed(0)
    for scale in SCALES:
        first, second = (
            scale * torch.ones_like(weights) *
            _of_samples(0.5 + torch.rand(len(weights), generator=draw), weights)
            for _ in range(2))
        apart = float(loss(first)) + float(loss(second))
        ratio = float(loss(first + second)) / apart if apart else math.nan
        # of a loss that knows no such values nothing can be told
        if not math.isfinite(ratio) or abs(ratio - 1) < TOLERANCE:
            continue
        what = ('does not look at its target weights, or divides by them: set '
                'use_target_weight=True, or use another loss'
                if abs(ratio - 0.5) < TOLERANCE else
                'does not weigh samples linearly: wrap it as '
                f"dict(type='InstanceWeightedLoss', loss=dict(type='{name}', "
                '...))')
        raise UserError(
            f'{name} of a sum of target weights is {ratio:.3g} times the sum '
            f'of the losses. It {what}')


def _of_samples(factors: Tensor, weights: Tensor) -> Tensor:
    """A number for each sample, in a shape that target weights multiply."""
    return factors.to(weights).reshape(-1, *[1] * (weights.ndim - 1))


def _total(losses) -> Tensor:
    """The sum of what a loss returns: one number, or several."""
    return sum(each.sum() for each in leaves(losses))


class _WatchedLoss:
    """A loss of the model, summed as it is and as without pose weights."""

    def __init__(self, module: nn.Module):
        self.name = type(module).__name__
        self.signature = inspect.signature(module.forward)
        self.checked = False
        self.reset()
        self.handle = module.register_forward_hook(self.after_forward,
                                                   with_kwargs=True)

    def reset(self) -> None:
        """Begin to sum anew."""
        self.iterations = 0
        self.weighted = self.unweighted = 0.

    def begin(self, factors: dict[int, Tensor]) -> None:
        """Begin an iteration, with the samples' factors by their number."""
        self.factors = factors
        self.first = None  # target weights of the iteration's first call

    def after_forward(self, module: nn.Module, args: tuple, kwargs: dict,
                      losses) -> None:
        """Check a call of the loss and add it up."""
        if not module.training:
            return
        call = self.signature.bind(*args, **kwargs)
        name = next((each for each in call.arguments if each in WEIGHTS), None)
        weights = call.arguments.get(name)
        if not isinstance(weights, Tensor):
            raise UserError(f'{self.name} gets no {" or ".join(WEIGHTS[:2])}, '
                            'so pose weights would not count')

        def loss_of(weights: Tensor) -> Tensor:
            call.arguments[name] = weights
            return _total(module.forward(*call.args, **call.kwargs))

        with torch.no_grad():
            factors = self.factors.get(len(weights))
            if factors is not None:
                if self.first is None:
                    self.first = weights
                    self.iterations += 1
                # stages of a network have calls of their own with the same
                # weights; those of unlabeled samples come after the labeled
                if (weights.untyped_storage().data_ptr() ==
                        self.first.untyped_storage().data_ptr()):
                    self.weighted += _total(losses)
                    self.unweighted += loss_of(
                        weights / _of_samples(factors, weights))
            if not self.checked:
                # in (0, 1), where all losses are defined
                call.arguments.update(apply_to(
                    dict(call.arguments), lambda each: getattr(
                        each, 'requires_grad', False),
                    lambda output: torch.full_like(output, 0.5)))
                check_linear(self.name, loss_of, weights)
                self.checked = True


@HOOKS.register_module()
class PoseDensityHook(Hook):
    """Multiplies ``keypoint_weights`` by those of :class:`PoseDensityWeights`.

    Before the training it checks that these were computed from the annotations
    and joints that are trained on. At a loss's first call it finds out, on
    made-up outputs and weights, whether the loss is linear in the weights of
    samples, and refuses one that is not. It logs the weights' effective sample
    size and the loss with and without them. It multiplies in the process that
    trains, so workers may read ahead, and a resumed training goes on as it
    would have.

    Args:
        weighted (bool): ``False`` trains without weights, for comparison.
        begin (int): Epoch (iteration where the training counts those) from
            which on weights count.
        ramp (float): Over how many epochs (iterations) from then on they grow
            from 1 to what they are; 0: at once.
        interval (int): Iterations over which what is logged is averaged.
    """

    # what it logs is there when the logger looks
    priority = 'NORMAL'

    def __init__(self, weighted: bool = True, begin: int = 0, ramp: float = 0,
                 interval: int = 50):
        non_negative(begin=begin, ramp=ramp)
        whole(1, interval=interval)
        self.weighted = weighted
        self.begin = begin
        self.ramp = ramp
        self.interval = interval
        self.losses: list[_WatchedLoss] = []

    def before_train(self, runner) -> None:
        """Check the weights' file and begin to watch the losses.

        Raises:
            UserError: If no data set is weighted, the weights are of other
                annotations or joints, a pipeline to be switched to has others,
                or the model has no loss to watch, or learns the weights.
        """
        files = set()
        for transform, dataset in weighted_datasets(
                runner.train_dataloader.dataset):
            files.add(transform.file)
            artifact = PoseDensityArtifact.load(transform.file)
            artifact.check_joints(
                joint_names(dataset.metainfo),
                f'the data set {dataset.metainfo["dataset_name"]} in training')
            artifact.check_annotations(annotation_files(dataset))
            low, high = artifact.weights.min(), artifact.weights.max()
            runner.logger.info(
                f'{len(artifact.ids)} pose weights of {artifact}, from '
                f'{low:.3g} to {high:.3g}, effective sample size '
                f'{artifact.effective_sample_size:.3f}')
            if artifact.doubt():
                runner.logger.warning(f'{artifact}: {artifact.doubt()}')
        if not files:
            raise UserError(
                'PoseDensityHook finds no PoseDensityWeights in the pipeline '
                'of train_dataloader: put one after GenerateTarget, or remove '
                'the hook')
        for hook in runner.hooks:
            pipeline = getattr(hook, 'switch_pipeline', None)
            used = {step.get('file') for _, step in components_of_class(
                pipeline, PoseDensityWeights.__name__)}
            if pipeline is not None and used != files:
                raise UserError(
                    f'the switch_pipeline of {type(hook).__name__} weighs by '
                    f'{", ".join(used) or "nothing"}, but the pipeline before '
                    f'it by {", ".join(files)}: put the same '
                    'PoseDensityWeights in both')
        model = model_of(runner)
        if any(type(module).__name__ == 'VisPredictHead'
               for module in model.modules()):
            raise UserError(
                'VisPredictHead takes keypoint_weights for the visibility that '
                'it is to predict, so it would learn pose weights as '
                'visibilities: use the head that it wraps')
        modules = []
        for name, module in model.named_modules():
            if name.rpartition('.')[2] == 'loss_module':
                several = isinstance(module, (nn.ModuleList, nn.ModuleDict))
                modules += module.children() if several else [module]
        if not modules:
            raise UserError(
                f'PoseDensityHook finds no loss_module in the heads of '
                f'{type(model).__name__}, so it cannot tell whether weights '
                'count')
        self.losses = [_WatchedLoss(module) for module in modules]
        self.applied: list[float] = []

    def strength(self, runner, batch_idx: int) -> float:
        """How much of the weights counts now, from 0 to 1."""
        now, _ = progress_of(runner, batch_idx)
        if not self.weighted or now < self.begin:
            return 0.
        return min(1., (now - self.begin) / self.ramp) if self.ramp else 1.

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Multiply the weights of a batch."""
        samples = data_batch['data_samples']
        factors = multiply_pose_weights(samples, self.strength(runner, batch_idx))
        self.applied += [each for each in factors if each is not None]
        factors = torch.tensor([1. if each is None else each
                                for each in factors])
        labeled = factors[[sample.metainfo.get('labeled', True)
                           for sample in samples]]
        for loss in self.losses:
            loss.begin({len(each): each for each in (labeled, factors)})

    def after_train_iter(self, runner, batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Log what the weights did."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        figures = {}
        if self.applied:
            figures['effective_sample_size'] = effective_sample_size(
                self.applied)
            if not any(loss.iterations for loss in self.losses):
                runner.logger.warning(
                    'PoseDensityHook cannot tell whether pose weights count: no '
                    'loss was called with target weights of labeled samples')
        for index, loss in enumerate(self.losses):
            number = str(index) if len(self.losses) > 1 else ''
            for kind in ('weighted', 'unweighted') if loss.iterations else ():
                figures[kind + number] = getattr(loss, kind) / loss.iterations
            loss.reset()
        self.applied = []
        for name, value in figures.items():
            runner.message_hub.update_scalar(f'train/pose_density/{name}',
                                             float(value))

    def after_train(self, runner) -> None:
        """Stop watching."""
        for loss in self.losses:
            loss.handle.remove()
        self.losses = []
