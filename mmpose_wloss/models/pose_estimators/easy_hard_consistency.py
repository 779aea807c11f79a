from abc import ABCMeta
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from mmengine.model import BaseModel, ModuleDict
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, SampleList
from torch import Tensor, nn

from ...compat.private_api import turns_channels
from ..hard_views import HardView
from ..hard_views.hard_view import compose, invert, move
from ..heads.keypoint_outputs import (
    Output,
    at_least_float32,
    average,
    average_fields,
    check_weighted,
    cloned,
    keypoint_outputs,
)
from ..module_contexts import evaluation, recorded


@torch.no_grad()
def take(view: HardView, steps: Sequence[nn.Module]) -> HardView:
    """Make a view harder, step by step."""
    for step in steps:
        view = step(view)
    return view


class EasyHardConsistency(BaseModel, metaclass=ABCMeta):
    r"""Semi-supervised training by easy-hard consistency.

    .. math::
        L = w_s \sum_n L_s(n) + w_c \sum_n \sum_p
        L_c\left(n(H_p(x)),\; H_p(t_n(x))\right)

    Labelled samples give each network n its stock loss :math:`L_s`, halved as
    the source has it. For unlabelled samples, the teacher :math:`t_n` of each
    network predicts the easy view x, which the data pipeline made, without
    gradient; each path :math:`H_p` makes a hard view of it, and the network
    learns to predict there what its teacher saw, moved to the hard view
    (:math:`L_c`, :func:`heatmap_consistency_loss`, summed over the stages of
    a multi-stage head; with SimCC heads half of their own loss).

    Xie et al., `An Empirical Study of the Collapsing Problem in
    Semi-Supervised 2D Human Pose Estimation
    <https://arxiv.org/abs/2011.12498>`_. A subclass says who teaches whom.

    Args:
        network (dict): Config of any stock top-down pose estimator with a
            heatmap head or a SimCC head. Its ``data_preprocessor`` serves
            this model; the rest of it is left as it is.
        hard_views (list): Steps from the easy view to the hard one, or a list
            of such lists, of which each is a path of its own.
        teacher_views (list): Steps from the easy view to the one that the
            teacher sees, for experiments: where it is as hard as the
            student's, or harder, networks collapse. Defaults to none.
        supervised_weight (float, optional): :math:`w_s`. Defaults to
            ``None``: 1 over the number of networks, as in the source.
        consistency_weight (float): :math:`w_c`, which
            :class:`DualNetworkHook` can ramp. Defaults to 1.
        teacher (str or dict): ``'train'``: a network teaches in training mode,
            with statistics of the batch, and updates its running statistics,
            as in the source. ``'eval'``: with its running statistics, which
            it leaves alone. A dict: the config of an averaged model of
            MMEngine, e.g. ``dict(type='ExponentialMovingAverage',
            momentum=0.001)``; it takes in the network before each batch, and
            teaches in evaluation mode. Defaults to ``'train'``.
        confidence_threshold (float): Joints that the teacher scores lower
            are not taught, in units of the heatmap or of the SimCC vector.
            Defaults to 0: all are taught, those with negative scores too.
        peak_threshold (float): The log tells the share of joints scored
            higher. Defaults to 0.3.
        channels_last (bool): Lay out weights and images with the channels
            last, which speeds up convolutions on many devices. Defaults to
            ``False``.
        train_cfg (None): What MMPose sets for inference. That of the networks
            stands in ``network``.
        test_cfg (dict): ``predict_with``: which prediction is the result:
            a network's name (``'first'``, ``'second'``, ``'ema_first'``, …)
            or, of several networks, ``'ensemble'``, decoded from the mean of
            their outputs. Defaults to the ensemble of several networks.
        data_preprocessor (dict, optional): Defaults to the network's.
        init_cfg (dict, optional): As in MMEngine.
    """

    # the network that teaches, by the network that it teaches
    TEACHERS: dict[str, str]

    def __init__(self,
                 network: ConfigType,
                 hard_views: list,
                 teacher_views: list = (),
                 supervised_weight: float | None = None,
                 consistency_weight: float = 1.,
                 teacher: str | dict = 'train',
                 confidence_threshold: float = 0.,
                 peak_threshold: float = 0.3,
                 channels_last: bool = False,
                 train_cfg: None = None,
                 test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None):
        if train_cfg:
            raise ValueError('train_cfg belongs into `network`, which reads '
                             f'it, but the model has {train_cfg}')
        network = dict(network)
        preprocessor = network.pop('data_preprocessor', None)
        super().__init__(data_preprocessor or preprocessor, init_cfg)
        self.networks = ModuleDict(
            {name: MODELS.build(network) for name in self.TEACHERS})
        first = self.networks['first']
        if not getattr(first, 'with_head', False):
            raise ValueError(
                '`network` must be a pose estimator with a head, but it is a '
                f'{type(first).__name__} without one')
        self.outputs = keypoint_outputs(first.head)
        check_weighted(first.head.loss_module)

        if isinstance(teacher, dict):
            if teacher.get('update_buffers'):
                raise ValueError(
                    'teacher cannot have update_buffers=True: MMEngine would '
                    'go on averaging the buffers that the model had before '
                    'it was moved to its device. By default it copies them')
            self.averages = ModuleDict({
                name: MODELS.build(dict(teacher, model=each))
                for name, each in self.networks.items()})
            self._keep_averages_in_evaluation_mode()
        elif teacher not in ('train', 'eval'):
            raise ValueError(
                "teacher must be 'train', 'eval' or the config of an averaged "
                "model such as dict(type='ExponentialMovingAverage', "
                f'momentum=0.001), but it is {teacher!r}')
        else:
            self.averages = None
        self.teacher = teacher

        paths = [hard_views] if all(
            isinstance(step, dict) for step in hard_views) else hard_views
        if not all(isinstance(path, (list, tuple)) for path in paths):
            raise ValueError(
                'hard_views must be a list of steps, or a list of such lists '
                f'(paths), not a mixture of both: {hard_views}')
        self.hard_views = nn.ModuleList(
            nn.ModuleList(MODELS.build(step) for step in path)
            for path in paths)
        self.teacher_views = nn.ModuleList(
            MODELS.build(step) for step in teacher_views)
        if any(step.uses_joints for step in self.teacher_views):
            raise ValueError(
                'teacher_views cannot hold steps that look at what teachers '
                f'predict: {[step["type"] for step in teacher_views]}')

        self.supervised_weight = (1 / len(self.networks)
                                  if supervised_weight is None
                                  else supervised_weight)
        self.consistency_weight = consistency_weight
        self.confidence_threshold = confidence_threshold
        self.peak_threshold = peak_threshold
        self.channels_last = channels_last
        if channels_last:
            self.to(memory_format=torch.channels_last)

        self.test_cfg = dict(test_cfg or {})
        self.predict_with = self.test_cfg.setdefault(
            'predict_with', self.predictors[-1]
            if len(self.networks) > 1 else 'first')
        if self.predict_with not in self.predictors:
            raise ValueError(
                'test_cfg.predict_with must be one of '
                f'{list(self.predictors)}, but it is {self.predict_with!r}')

    @property
    def predictors(self) -> list[str]:
        """What can predict: networks, their averages and the ensemble."""
        names = list(self.networks)
        if self.averages is not None:
            names += [f'ema_{name}' for name in self.networks]
        if len(self.networks) > 1:
            names.append('ensemble')
        return names

    def predictor(self, name: str) -> nn.Module:
        """A network or an average by its name, a stock pose estimator."""
        if name.startswith('ema_'):
            return self.averages[name[len('ema_'):]].module
        return self.networks[name]

    def train(self, mode: bool = True) -> 'EasyHardConsistency':
        """Set the mode of all but the averages, which only ever predict."""
        super().train(mode)
        self._keep_averages_in_evaluation_mode()
        return self

    def _keep_averages_in_evaluation_mode(self) -> None:
        if getattr(self, 'averages', None) is not None:
            self.averages.eval()

    def forward(self,
                inputs: Tensor,
                data_samples: SampleList | None = None,
                mode: str = 'tensor') -> dict | SampleList | Output:
        """As a stock pose estimator's.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`], optional): Their
                samples. ``metainfo['labeled']`` says which are labelled; where
                it is absent, they are.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            dict, list or Tensor: The losses, the samples with predictions, or
            what the head of ``predict_with`` gives.
        """
        inputs = self._images(inputs)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self._forward(inputs)
        raise RuntimeError(f"mode must be 'loss', 'predict' or 'tensor', but "
                           f'it is {mode!r}')

    def _images(self, inputs: Tensor | list[Tensor]) -> Tensor:
        if isinstance(inputs, list):
            inputs = torch.stack(inputs)
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Losses and figures of a batch of labelled and unlabelled samples.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`]): Their samples.

        Returns:
            dict: For each network its stock losses and accuracies,
            ``loss_consistency``, and of the labelled and the unlabelled part
            the mean score of joints (``peak_…``) and the share of those
            above the threshold (``confident_…``), under the network's name:
            in the easy view, or where averages teach, in the first path's
            hard view.

        Raises:
            ValueError: If the batch has no labelled sample, or no unlabelled
                one.
        """
        self._update_averages()
        labeled, unlabeled = [], []
        for index, sample in enumerate(data_samples):
            part = labeled if sample.metainfo.get('labeled', True) else unlabeled
            part.append(index)
        for part, name in ((labeled, 'labelled'), (unlabeled, 'unlabelled')):
            if not part:
                raise ValueError(
                    f'a batch of {len(data_samples)} samples has no {name} '
                    'one. Batches are mixed by a CombinedDataset of both, '
                    'with PackSemiSupervisedPoseInputs at the end of its '
                    'pipeline, and by EpochMultiSourceSampler, whose '
                    "batch_size must be the data loader's and whose "
                    'source_ratio must give each part a share of it')
        losses = {}
        images = part_of(inputs, labeled)
        for name in self.networks:
            losses.update(self._supervised(
                name, images, [data_samples[i] for i in labeled]))
        losses.update(self._consistency(
            part_of(inputs, unlabeled), [data_samples[i] for i in unlabeled]))
        return losses

    @torch.no_grad()
    def _update_averages(self) -> None:
        """Take the networks into their averages.

        Here and not after the step, so that every training loop does it.
        """
        if self.averages is not None:
            for name, network in self.networks.items():
                self.averages[name].update_parameters(network)

    def _supervised(self, name: str, inputs: Tensor,
                    data_samples: SampleList) -> dict:
        network = self.networks[name]
        # the head computes its outputs and keeps them to itself; NumPy, by
        # which it computes an accuracy, knows no bfloat16
        with recorded(network.head, 'forward',
                      change=at_least_float32) as calls:
            losses = network.loss(inputs, data_samples)
        weight = self.supervised_weight / 2
        results = {}
        for key, value in losses.items():
            if 'loss' in key:
                value = ([weight * part for part in value]
                         if isinstance(value, list) else weight * value)
            results[f'{name}.{key}'] = value
        visible = keypoint_weights(data_samples) > 0
        results.update(self._figures(
            f'{name}.{{}}_labeled', self.outputs.peaks(calls[-1][1]), visible))
        return results

    def _consistency(self, inputs: Tensor, data_samples: SampleList) -> dict:
        weights = keypoint_weights(data_samples).to(inputs.device)
        seen, shown, easy = self.look(inputs)
        peaks = {name: self.outputs.peaks(output)
                 for name, output in seen.items()}
        # an average lags behind what it is an average of, and so do its scores
        own = dict(peaks) if self.averages is None else {}
        losses = {f'{name}.loss_consistency': 0. for name in self.TEACHERS}
        for path in self.hard_views:
            view = take(easy, path)
            for student, (name, teacher) in enumerate(self.TEACHERS.items()):
                image, matrix = view.of_student(student)
                with torch.no_grad():
                    targets, inside = self.outputs.targets(
                        seen[teacher],
                        compose(invert(shown.matrix), matrix),
                        view.size, view.half_pixels)
                taught = weights if inside is None else weights * inside
                if self.confidence_threshold > 0:
                    taught = taught * (
                        peaks[teacher] >= self.confidence_threshold)
                network = self.networks[name]
                output = network.head.forward(network.extract_feat(image))
                losses[f'{name}.loss_consistency'] += (
                    self.consistency_weight *
                    self.outputs.loss(output, targets, taught))
                if name not in own:
                    own[name] = self.outputs.peaks(output)
        for name in self.networks:
            losses.update(self._figures(
                f'{name}.{{}}_unlabeled', own[name], weights > 0))
        losses['consistency_weight'] = weights.new_full(
            (), self.consistency_weight)
        return losses

    def look(self, inputs: Tensor
             ) -> tuple[dict[str, Output], HardView, HardView]:
        """What teachers see of unlabelled images.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].

        Returns:
            tuple: What each teacher gives, by its name; the view that they
            were shown; and the easy view with the joints that they see, from
            which each path makes a hard view.
        """
        easy = self._easy_view(inputs)
        shown = take(easy, self.teacher_views)
        seen = {name: self._teach(name, shown.image)
                for name in dict.fromkeys(self.TEACHERS.values())}
        joints = torch.stack([
            move(self.outputs.joints(seen[teacher]), shown.matrix)
            for teacher in self.TEACHERS.values()])
        return seen, shown, easy.replace(joints=joints)

    @torch.no_grad()
    def _teach(self, name: str, inputs: Tensor) -> Output:
        """What a teacher gives on the easy view."""
        network = (self.networks[name] if self.averages is None
                   else self.averages[name].module)
        mode = evaluation(network) if self.teacher == 'eval' else nullcontext()
        with mode:
            output = network.head.forward(network.extract_feat(inputs))
        self.outputs.final(output)  # checks what the head gives
        return output

    def _easy_view(self, inputs: Tensor) -> HardView:
        """The view that the data pipeline made, before any joint is seen."""
        preprocessor = self.data_preprocessor
        ones = inputs.new_ones(3, 1, 1)
        return HardView(
            image=inputs,
            joints=inputs.new_empty(len(self.TEACHERS), len(inputs), 0, 2),
            mean=getattr(preprocessor, 'mean', 0 * ones),
            std=getattr(preprocessor, 'std', ones),
            # MMCV loads images as BGR
            rgb=turns_channels(preprocessor))

    def _figures(self, name: str, peaks: Tensor, which: Tensor) -> dict:
        """Mean score of some joints, and the share above the threshold."""
        which = which.to(peaks)
        count = which.sum().clamp(min=1)
        confident = (peaks > self.peak_threshold).to(peaks)
        return {name.format('peak'): (peaks * which).sum() / count,
                name.format('confident'): (confident * which).sum() / count}

    def val_step(self, data: dict) -> SampleList:
        """Predict with everything that can, to be reported side by side.

        Args:
            data (dict): A batch of the data loader.

        Returns:
            list[:obj:`PoseDataSample`]: As :meth:`predict` returns them.
        """
        data = self.data_preprocessor(data, False)
        return self.predict(self._images(data['inputs']),
                            data['data_samples'], self.predictors)

    def predict(self, inputs: Tensor, data_samples: SampleList,
                names: Sequence[str] | None = None) -> SampleList:
        """Predict as the networks do, with their own ``test_cfg``.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`]): Their samples.
            names (Sequence[str], optional): Which predictions are needed.
                Defaults to ``None``: that of ``predict_with``, and those of
                the networks which an ensemble needs.

        Returns:
            list[:obj:`PoseDataSample`]: The samples, with the prediction of
            ``predict_with`` in ``pred_instances``, each one that was computed
            in ``pred_instances_{name}``, and the name of the former in the
            metainfo ``predicted_with``.
        """
        names = {self.predict_with, *(names or ())}
        if 'ensemble' in names:
            names |= set(self.networks)
        decoded, instances, fields = [], {}, {}
        for name in self.predictors:
            if name not in names:
                continue
            if name == 'ensemble':
                first = self.networks['first']
                first.add_pred_to_datasample(
                    first.head.decode(average(decoded)),
                    average_fields([fields[each] for each in self.networks]),
                    data_samples)
            else:
                network = self.predictor(name)
                with recorded(network.head, 'decode', keep=cloned) as calls:
                    network.forward(inputs, data_samples, mode='predict')
                if name in self.networks:
                    decoded.append(calls[-1][0][0])
            instances[name] = [sample.pred_instances for sample in data_samples]
            fields[name] = [sample.get('pred_fields') for sample in data_samples]
        for index, sample in enumerate(data_samples):
            for name, predicted in instances.items():
                sample.set_field(predicted[index], f'pred_instances_{name}')
            sample.pred_instances = instances[self.predict_with][index]
            if fields[self.predict_with][index] is not None:
                sample.pred_fields = fields[self.predict_with][index]
            sample.set_metainfo(dict(predicted_with=self.predict_with))
        return data_samples

    def _forward(self, inputs: Tensor) -> Output:
        """What the head of ``predict_with`` gives."""
        names = (list(self.networks) if self.predict_with == 'ensemble'
                 else [self.predict_with])
        return average([
            self.predictor(name)(inputs, None, mode='tensor')
            for name in names])


def part_of(inputs: Tensor, indices: list[int]) -> Tensor:
    """Some images of a batch, without waiting for the device."""
    first, last = indices[0], indices[-1]
    if indices == list(range(first, last + 1)):
        return inputs[first:last + 1]  # as the sampler orders them: no copy
    return inputs[torch.tensor(indices).to(inputs.device, non_blocking=True)]


def keypoint_weights(data_samples: SampleList) -> Tensor:
    """Weights of a batch's joints in shape [B, K]."""
    return torch.cat([sample.gt_instance_labels.keypoint_weights
                      for sample in data_samples])
