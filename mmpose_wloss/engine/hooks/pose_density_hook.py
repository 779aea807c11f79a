import inspect
import math
from collections.abc import Iterator, Sequence

import torch
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop
from mmpose.registry import HOOKS
from torch import Tensor, nn

from ...compat.private_api import leaves
from ...datasets import UnlabeledPoseDataset
from ...datasets.poses import annotation_files, joint_names
from ...datasets.transforms.pose_density_weights import (
    WEIGHT_KEY,
    PoseDensityWeights,
)
from ...pose_density import PoseDensityArtefact, effective_sample_size

# what MMPose's losses call their weights
WEIGHTS = ('target_weights', 'target_weight', 'keypoint_weights')


def weighted_datasets(dataset, transforms: tuple[PoseDensityWeights, ...] = ()
                      ) -> Iterator[tuple[PoseDensityWeights, BaseDataset]]:
    """Labelled data sets with the weights of their pipelines.

    Args:
        dataset (Dataset): A data set, or a wrapper such as
            ``CombinedDataset``, whose pipeline counts for all that it wraps.
        transforms (tuple[PoseDensityWeights]): Those of wrappers around it.

    Yields:
        tuple: A transform, and a data set whose samples it sees.
    """
    pipeline = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    transforms += tuple(transform for transform in pipeline
                        if isinstance(transform, PoseDensityWeights))
    for wrapped in getattr(dataset, 'datasets', None) or [
            getattr(dataset, 'dataset', None)]:
        if wrapped is not None:
            yield from weighted_datasets(wrapped, transforms)
        elif not isinstance(dataset, UnlabeledPoseDataset):
            for transform in transforms:
                yield transform, dataset


def loss_modules(model: nn.Module) -> list[nn.Module]:
    """The losses that heads hand their target weights to."""
    found = []
    for name, module in model.named_modules():
        if name.rpartition('.')[2] == 'loss_module':
            several = isinstance(module, (nn.ModuleList, nn.ModuleDict))
            found += module.children() if several else [module]
    return found


def total(losses) -> Tensor:
    """The sum of what a loss returns: one number, or several."""
    return sum(each.sum() for each in leaves(losses))


class _Watch:
    """Sums one loss, weighted and as it would be without pose weights."""

    def __init__(self, module: nn.Module):
        self.name = type(module).__name__
        self.signature = inspect.signature(module.forward)
        self.weights_name = next(
            (name for name in self.signature.parameters if name in WEIGHTS),
            None)
        self.checked = False
        self.first = None  # weights of this iteration's first call
        self.weighted = self.unweighted = 0.
        self.count = 0

    def begins(self, weights: Tensor) -> bool:
        """Whether a call is one on the labelled samples.

        Stages of a network have calls of their own with the same weights;
        other calls of the same loss, as of unlabelled samples, come later.
        """
        if self.first is None:
            self.first = weights
            self.count += 1
        return (weights.untyped_storage().data_ptr() ==
                self.first.untyped_storage().data_ptr())


@HOOKS.register_module()
class PoseDensityHook(Hook):
    """Looks after the weights of :class:`PoseDensityWeights`.

    Before the training it checks that they were computed from the annotations
    and joints that are trained on. From the first batch, and again whenever it
    logs, it finds out whether the loss weighs samples linearly, and refuses
    one that does not. It lets weights set in at an epoch or iteration, at once
    or by a ramp, and logs their effective sample size and the loss with and
    without them.

    Workers always weight in full, and what is to be weighted less is put right
    here, before the model sees it; so it does not matter how many workers
    there are, how long they live and how far ahead they read, and a resumed
    training goes on as it would have.

    Args:
        weighted (bool): ``False`` gives all weights back: the training without
            them, for comparison. Defaults to ``True``.
        begin (int): Epoch (iteration where the training counts those) from
            which on weights count. Defaults to 0.
        ramp (float): Over how many epochs (iterations) from then on they grow
            from 1 to what they are. Defaults to 0: at once.
        interval (int): Iterations over which what is logged is averaged.
            Defaults to 50.
    """

    # what it logs is there when the logger looks
    priority = 'NORMAL'

    def __init__(self, weighted: bool = True, begin: int = 0, ramp: float = 0,
                 interval: int = 50):
        if begin < 0 or ramp < 0 or interval < 1:
            raise ValueError(
                'begin and ramp must be at least 0 and interval at least 1, '
                f'but they are {begin}, {ramp} and {interval}')
        self.weighted = weighted
        self.begin = begin
        self.ramp = ramp
        self.interval = interval
        self.handles = []

    def before_train(self, runner) -> None:
        """Check the weights' file and begin to watch the losses.

        Args:
            runner (Runner): The runner of the training process.

        Raises:
            ValueError: If no data set is weighted, the weights are those of
                other annotations or joints, or a pipeline to be switched to
                has others.
            TypeError: If the model has no loss that could be watched, or
                learns the weights.
        """
        weighted = list(weighted_datasets(runner.train_dataloader.dataset))
        for transform, dataset in weighted:
            self._check(transform, dataset, runner)
        if not weighted:
            raise ValueError(
                'PoseDensityHook finds no PoseDensityWeights in the pipeline '
                'of train_dataloader: put one after GenerateTarget, or remove '
                'the hook')
        self._check_switch(runner, {transform.file for transform, _ in
                                    weighted})
        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        for module in model.modules():
            if type(module).__name__ == 'VisPredictHead':
                raise TypeError(
                    'VisPredictHead takes keypoint_weights for the visibility '
                    'that it is to predict, so pose weights would be learnt '
                    'as visibilities: use the head that it wraps')
        modules = loss_modules(model)
        if not modules:
            raise TypeError(
                f'PoseDensityHook finds no loss_module in the heads of '
                f'{type(model).__name__}, so it cannot tell whether weights '
                'count')
        self.watches = []
        for module in modules:
            watch = _Watch(module)
            self.watches.append(watch)
            self.handles.append(module.register_forward_hook(
                self._watcher(watch), with_kwargs=True))
        self.applied: list[float] = []

    @staticmethod
    def _check(transform: PoseDensityWeights, dataset: BaseDataset,
               runner) -> None:
        artefact = PoseDensityArtefact.load(transform.file)
        artefact.check_joints(
            joint_names(dataset.metainfo),
            f'the data set {dataset.metainfo["dataset_name"]} in training')
        artefact.check_annotations(annotation_files(dataset))
        runner.logger.info(
            f'pose weights of {transform.file}: {len(artefact.ids)} poses, '
            f'{artefact.weights.min():.3g} to {artefact.weights.max():.3g}, '
            f'effective sample size {artefact.effective_sample_size:.3f}')
        if artefact.does_nothing():
            runner.logger.warning(
                f'the weights of {transform.file} are almost equal and will '
                'change nothing')
        elif artefact.is_carried_by_few():
            runner.logger.warning(
                f'the heaviest 1 % of the poses have '
                f'{artefact.heaviest_share():.0%} of the weight of '
                f'{transform.file}: few poses will carry the training')

    @staticmethod
    def _check_switch(runner, files: set[str]) -> None:
        """Check the pipelines that hooks switch to."""
        for hook in runner.hooks:
            pipeline = getattr(hook, 'switch_pipeline', None)
            if pipeline is None:
                continue
            used = {step.get('file') for step in pipeline
                    if step['type'] in ('PoseDensityWeights',
                                        PoseDensityWeights)}
            if used != files:
                raise ValueError(
                    f'the switch_pipeline of {type(hook).__name__} weighs by '
                    f'{", ".join(used) or "nothing"}, but the pipeline before '
                    f'it by {", ".join(files)}: put the same '
                    'PoseDensityWeights in both')

    def strength(self, runner) -> float:
        """How much of the weights counts now.

        Args:
            runner (Runner): The runner of the training process.

        Returns:
            float: 0: nothing, to 1: the weights as they are.
        """
        if not self.weighted:
            return 0.
        now = runner.iter
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            now = runner.iter / len(runner.train_dataloader)
        if now < self.begin:
            return 0.
        if self.ramp == 0:
            return 1.
        return min(1., (now - self.begin) / self.ramp)

    def before_train_iter(self, runner, batch_idx: int,
                          data_batch: dict | None = None) -> None:
        """Take back what is not to count yet.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (dict, optional): The batch.

        Raises:
            KeyError: If samples do not say what they were weighted with.
        """
        strength = self.strength(runner)
        samples = data_batch['data_samples']
        weights = [(sample.metainfo.get('raw_ann_info') or {}).get(WEIGHT_KEY)
                   for sample in samples]
        if not any('raw_ann_info' in sample.metainfo for sample in samples):
            raise KeyError(
                'The samples of the batch do not say what they were weighted '
                "with: keep 'raw_ann_info' in the meta_keys of PackPoseInputs")
        self.factors = []
        for sample, weight in zip(samples, weights, strict=True):
            factor = 1.
            if weight is not None:
                factor = 1 + strength * (weight - 1)
                if strength < 1:
                    labels = sample.gt_instance_labels
                    labels.keypoint_weights = (
                        labels.keypoint_weights / weight * factor)
                self.applied.append(factor)
            self.factors.append(factor)
        self.labeled = [sample.metainfo.get('labeled', True)
                        for sample in samples]
        for watch in self.watches:
            watch.first = None

    def _factors_of(self, count: int) -> list[float] | None:
        """Weights of the samples of a call of a loss."""
        if count == len(self.factors):
            return self.factors
        labeled = [factor for factor, labeled in zip(
            self.factors, self.labeled, strict=True) if labeled]
        return labeled if count == len(labeled) else None

    def _watcher(self, watch: _Watch):

        def look(module: nn.Module, args: Sequence, kwargs: dict,
                 losses) -> None:
            if not module.training:
                return
            call = watch.signature.bind(*args, **kwargs)
            weights = call.arguments.get(watch.weights_name)
            if not isinstance(weights, Tensor):
                raise ValueError(
                    f'{watch.name} gets no {" or ".join(WEIGHTS[:2])}, so '
                    'pose weights would not count')
            factors = self._factors_of(len(weights))
            if factors is None or not watch.begins(weights):
                return

            def with_weights(changed: Tensor) -> Tensor:
                call.arguments[watch.weights_name] = changed
                return total(module.forward(*call.args, **call.kwargs))

            with torch.no_grad():
                loss = total(losses)
                if not watch.checked:
                    watch.checked = self._check_linear(
                        watch.name, loss, with_weights(2 * weights))
                factors = torch.tensor(factors, device=weights.device).reshape(
                    -1, *[1] * (weights.ndim - 1))
                watch.unweighted = watch.unweighted + with_weights(
                    weights / factors)
                watch.weighted = watch.weighted + loss

        return look

    @staticmethod
    def _check_linear(name: str, loss: Tensor, of_double: Tensor) -> bool:
        """Whether it could be told; raises where the loss is not linear."""
        loss, of_double = float(loss), float(of_double)
        if loss == 0 or not math.isfinite(loss):
            return False
        ratio = of_double / loss
        if abs(ratio - 2) < 0.02:
            return True
        what = ('does not look at its target weights, or divides by them: set '
                'use_target_weight=True, or use another loss'
                if abs(ratio - 1) < 0.02 else
                'does not weigh samples linearly: wrap it as '
                f"dict(type='InstanceWeightedLoss', loss=dict(type='{name}', "
                '...))')
        raise ValueError(f'{name} of doubled target weights is {ratio:.3g} '
                         f'times the loss, not 2 times. It {what}')

    def after_train_iter(self, runner, batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Log what the weights did.

        Args:
            runner (Runner): The runner of the training process.
            batch_idx (int): Index of the batch.
            data_batch (dict, optional): The batch.
            outputs (dict, optional): What the model returned.
        """
        if not self.every_n_train_iters(runner, self.interval):
            return
        figures = {}
        if self.applied:
            figures['effective_sample_size'] = effective_sample_size(
                self.applied)
            if not any(watch.count for watch in self.watches):
                runner.logger.warning(
                    'no loss was called with the target weights of the '
                    f'labelled samples in {self.interval} iterations, so '
                    'PoseDensityHook cannot tell whether pose weights count')
        for index, watch in enumerate(self.watches):
            if watch.count:
                name = str(index) if len(self.watches) > 1 else ''
                figures[f'weighted{name}'] = watch.weighted / watch.count
                figures[f'unweighted{name}'] = watch.unweighted / watch.count
            watch.weighted = watch.unweighted = 0.
            watch.count = 0
            # what is linear where errors are large may not be so later
            watch.checked = False
        self.applied = []
        for name, value in figures.items():
            runner.message_hub.update_scalar(f'train/pose_density/{name}',
                                             float(value))

    def after_train(self, runner) -> None:
        """Stop watching.

        Args:
            runner (Runner): The runner of the training process.
        """
        for handle in self.handles:
            handle.remove()
        self.handles = []
