from abc import ABCMeta
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import pairwise

import torch
from mmengine.model import BaseModel, ModuleDict
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, SampleList
from torch import Tensor, nn

from ...common.checks import non_negative, one_of
from ...common.errors import UserError
from ...common.hooks import check_hook_ran
from ...compat.private_api import turns_channels
from ..hard_views import HardView
from ..hard_views.hard_view import compose, invert, move
from ..heads.keypoint_outputs import (
    HeatmapOutputs,
    Output,
    at_least_float32,
    average,
    average_fields,
    check_weighted,
    cloned,
    head_of,
    keypoint_outputs,
    scaled,
)
from ..module_contexts import evaluation, recorded
from ..pretrained import check_pretrained
from .teacher_views import average_views


class EasyHardConsistency(BaseModel, metaclass=ABCMeta):
    r"""Semi-supervised training by easy-hard consistency.

    .. math::
        L = w_s \sum_n L_s(n) + w_c \sum_n \sum_p
        L_c\left(n(H_p(x)),\; H_p(t_n(x))\right)

    Labeled samples give each network n half of its stock loss :math:`L_s`, as in
    the original code. Of unlabeled samples, the network's teacher :math:`t_n`
    predicts the easy view x, which the data pipeline made, without gradient. Each
    path :math:`H_p` makes a hard view of it, on which the network learns what its
    teacher predicted, moved there (:math:`L_c`, :func:`heatmap_consistency_loss`,
    summed over the stages of a head; with SimCC, coordinates and offsets half of the
    head's own loss, of the joints that the teacher predicts).

    Xie et al., `An Empirical Study of the Collapsing Problem in Semi-Supervised 2D
    Human Pose Estimation <https://arxiv.org/abs/2011.12498>`_. A subclass says who
    teaches whom.

    Args:
        network (dict): Config of any stock top-down pose estimator with a heatmap
            head, with offsets too, a SimCC head, or a regression head. Its
            ``data_preprocessor`` serves this model.
        hard_views (list): Steps from the easy view to the hard one, or a list of
            such lists, of which each is a path of its own.
        teacher_views (list): Steps from the easy view to the one that the teacher sees,
            for experiments: where it is as hard as the student's, networks collapse. Or
            a list of such lists: the teacher, with a heatmap head, predicts each of
            these views and teaches their mean, :func:`average_views`.
        supervised_weight (float, optional): :math:`w_s`, at least 0; ``None``: 1 for
            one network, ½ for each of several, as in the original codes.
        consistency_weight (float): :math:`w_c`, at least 0; :class:`DualNetworkHook`
            can ramp it.
        teacher (str or dict): ``'train'``: a network teaches in training mode, with
            statistics of the batch, and updates its running statistics, as in the
            original code. ``'eval'``: with its running statistics, which it leaves
            alone. A dict: the config of an averaged model of MMEngine, e.g.
            ``dict(type='ExponentialMovingAverage', momentum=0.001)``, which takes in
            the network before each batch and teaches in evaluation mode.
        confidence_threshold (float): Joints that the teacher scores lower are not
            taught, in units of the heatmap or of the SimCC vector. At 0 all are,
            those with negative scores too.
        peak_threshold (float): The log tells the share of joints scored higher.
        channels_last (bool): Lay out weights and images with the channels last,
            which speeds up convolutions on many devices.
        train_cfg (None): What MMPose sets for inference; that of the networks
            stands in ``network``.
        test_cfg (dict): ``predict_with``: which prediction is the result: a
            network's name (``'first'``, ``'second'``, ``'ema_first'``, …) or
            ``'ensemble'``, decoded from the mean of the networks' outputs, the
            default where there are several.
        data_preprocessor (dict, optional): Defaults to the network's.
        init_cfg (dict, optional): As in MMEngine.
        init_cfgs (dict, optional): The ``init_cfg`` of a network's backbone by the
            network's name, where it begins from other weights than ``network`` says:
            ``dict(second=dict(type='Pretrained', checkpoint=...))``. The checkpoint
            is one of a backbone; of one of a whole network, ``prefix='backbone.'``
            takes it.
        temporal_loss (dict, optional): Config of a :class:`TemporalSmoothnessLoss`,
            which joints have that jump between frames of a clip
            (:class:`UnlabeledPoseDataset` has clips), weighed by the lower one of their
            scores. Networks must have heatmaps. The log has ``loss_temporal``.

    Raises:
        UserError: If an argument does not fit, or the network cannot be taught.
    """

    # who teaches, a network or what several make together, by the network it teaches
    TEACHERS: dict[str, str]

    hooks = ('DualNetworkHook', )
    # DualNetworkHook says so
    hook_ran = False
    measures_hardness = False

    def __init__(self, network: ConfigType, hard_views: list, teacher_views: list = (),
                 supervised_weight: float | None = None, consistency_weight: float = 1.,
                 teacher: str | dict = 'train', confidence_threshold: float = 0.,
                 peak_threshold: float = 0.3, channels_last: bool = False,
                 train_cfg: None = None, test_cfg: dict | None = None,
                 data_preprocessor: dict | None = None, init_cfg: dict | None = None,
                 init_cfgs: dict | None = None, temporal_loss: dict | None = None):
        non_negative(consistency_weight=consistency_weight,
                     confidence_threshold=confidence_threshold)
        if supervised_weight is not None:
            non_negative(supervised_weight=supervised_weight)
        if train_cfg:
            raise UserError('train_cfg belongs into `network`, but the model has '
                            f'{train_cfg}')
        network = dict(network)
        preprocessor = network.pop('data_preprocessor', None)
        super().__init__(data_preprocessor or preprocessor, init_cfg)
        self.init_cfgs = init_cfgs or {}
        for name, each in self.init_cfgs.items():
            one_of(self.TEACHERS, init_cfgs=name)
            if not isinstance(each, dict):
                raise UserError(
                    f'init_cfgs.{name} must be an init_cfg, such as '
                    f"dict(type='Pretrained', checkpoint=…), but it is {each!r}")
        self.networks = ModuleDict({
            name: MODELS.build(initialized(network, self.init_cfgs.get(name)))
            for name in self.TEACHERS})
        head = head_of(self.networks['first'], 'network')
        self.outputs = keypoint_outputs(head)
        check_weighted(head.loss_module)

        self.averages = ModuleDict()
        if not isinstance(teacher, dict):
            one_of(('train', 'eval'), teacher=teacher)
        elif teacher.get('update_buffers'):
            raise UserError(
                'teacher cannot have update_buffers=True: MMEngine would go on '
                'averaging the buffers that the model had before it was moved to its '
                'device. By default it copies them')
        else:
            for name, each in self.networks.items():
                self.averages[name] = MODELS.build(dict(teacher, model=each))
            self.averages.eval()
        self.teacher = teacher
        self.begin_rounds()

        self.hard_views = paths_of(hard_views, 'hard_views')
        self.teacher_views = paths_of(teacher_views, 'teacher_views')
        alone = self.teacher_views if len(self.teacher_views) == 1 else ()
        if any(step.for_teachers for path in (*self.hard_views, *alone)
               for step in path):
            raise UserError('HorizontalFlip makes one of several teacher_views: [[], '
                            "[dict(type='HorizontalFlip')]]")
        if any(step.uses_joints for path in self.teacher_views for step in path):
            raise UserError('teacher_views cannot hold steps that need the joints '
                            f'which teachers predict: {teacher_views}')
        if len(self.teacher_views) > 1 and not isinstance(
                self.outputs, HeatmapOutputs):
            raise UserError(
                'several teacher_views are averaged as heatmaps, but '
                f'{type(head).__name__} gives {self.outputs.kind}')

        self.temporal_loss = temporal_loss and MODELS.build(temporal_loss)
        if temporal_loss and not isinstance(self.outputs, HeatmapOutputs):
            raise UserError('temporal_loss follows joints of heatmaps, but '
                            f'{type(head).__name__} gives {self.outputs.kind}')

        self.supervised_weight = (1 / min(2, len(self.networks))
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
            'predict_with', 'ensemble' if len(self.networks) > 1 else 'first')
        one_of(self.predictors, predict_with=self.predict_with)

    def init_weights(self) -> None:
        """Initialize the networks.

        Raises:
            UserError: If a checkpoint of ``init_cfgs`` has nothing of a backbone.
        """
        for name, each in self.init_cfgs.items():
            if each.get('checkpoint'):
                check_pretrained(
                    each, self.networks[name].backbone, f'init_cfgs.{name}')
        super().init_weights()

    @property
    def predictors(self) -> list[str]:
        """What can predict: networks, their averages and the ensemble."""
        return [*self.networks, *(f'ema_{name}' for name in self.averages),
                *(['ensemble'] if len(self.networks) > 1 else [])]

    def predictor(self, name: str) -> nn.Module:
        """A network or an average by its name, a stock pose estimator."""
        if name.startswith('ema_'):
            return self.averages[name.removeprefix('ema_')].module
        return self.networks[name]

    def train(self, mode: bool = True) -> 'EasyHardConsistency':
        """Set the mode of all but the averages, which only ever predict."""
        super().train(mode)
        self.averages.eval()
        return self

    def forward(self, inputs: Tensor, data_samples: SampleList | None = None,
                mode: str = 'tensor') -> dict | SampleList | Output:
        """As a stock pose estimator's; tensors are those of ``predict_with``."""
        one_of(('loss', 'predict', 'tensor'), mode=mode)
        inputs = self._images(inputs)
        if mode != 'tensor':
            return getattr(self, mode)(inputs, data_samples)
        names = (self.networks if self.predict_with == 'ensemble'
                 else [self.predict_with])
        return average([self.predictor(name)(inputs, None, mode='tensor')
                        for name in names])

    def _images(self, inputs: Tensor | list[Tensor]) -> Tensor:
        if isinstance(inputs, list):
            inputs = torch.stack(inputs)
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Losses and figures of a batch of labeled and unlabeled samples.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`]): Their samples. Those with
                ``labeled=False`` in the metainfo are unlabeled.

        Returns:
            dict: For each network its stock losses and accuracies,
            ``loss_consistency``, and of the labeled and the unlabeled part the mean
            score of joints (``peak_…``) and the share of those above the threshold
            (``confident_…``): in the easy view, or where averages teach, in the
            first path's hard view. Where :class:`DualNetworkHook` asks, also its
            :meth:`hardness`.

        Raises:
            UserError: If the batch has no labeled or no unlabeled sample.
        """
        # here and not after the step, so that every training loop does it
        for name, each in self.averages.items():
            each.update_parameters(self.networks[name])
        labeled, unlabeled = [], []
        for index, sample in enumerate(data_samples):
            part = labeled if sample.metainfo.get('labeled', True) else unlabeled
            part.append(index)
        for part, name in ((labeled, 'labeled'), (unlabeled, 'unlabeled')):
            if not part:
                raise UserError(
                    f'a batch of {len(data_samples)} samples has no {name} one. '
                    'Batches are mixed by a CombinedDataset with '
                    'PackSemiSupervisedPoseInputs at the end of its pipeline, and by '
                    "EpochMultiSourceSampler, whose batch_size must be the data "
                    "loader's and whose source_ratio must give each part a share")
        losses, images = {}, part_of(inputs, labeled)
        samples = [data_samples[i] for i in labeled]
        for name in self.networks:
            losses |= self._supervised(name, images, samples)
        if self.measures_hardness:
            losses |= self.hardness(images, samples)
        return losses | self.consistency(
            part_of(inputs, unlabeled), [data_samples[i] for i in unlabeled])

    def _supervised(self, name: str, inputs: Tensor,
                    data_samples: SampleList) -> dict:
        network = self.networks[name]
        # NumPy, by which heads compute an accuracy, knows no bfloat16
        with recorded(network.head, 'forward', change=at_least_float32) as calls:
            losses = network.loss(inputs, data_samples)
        losses = scaled(losses, self.supervised_weight / 2)
        return {f'{name}.{key}': value for key, value in losses.items()} | (
            self._figures(name, 'labeled', self.outputs.peaks(calls[-1][1]),
                          keypoint_weights(data_samples) > 0))

    def consistency(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Losses and figures of unlabeled samples, as :meth:`loss` gives them."""
        weights = keypoint_weights(data_samples).to(inputs.device)
        predicted, shown, easy = self.teach(inputs, data_samples)
        peaks = {name: self.outputs.peaks(output)
                 for name, output in predicted.items()}
        # an average lags behind what it is an average of, and so do its scores
        own = {} if self.averages else dict(peaks)
        scores = self.scores(peaks)
        losses = {f'{name}.loss_consistency': 0. for name in self.TEACHERS}
        if self.temporal_loss:
            losses |= {f'{name}.loss_temporal': 0. for name in self.TEACHERS}
            frames = neighboring_frames(data_samples).to(
                inputs.device, non_blocking=True)
        for path in self.hard_views:
            view = path(easy)
            for student, (name, teacher) in enumerate(self.TEACHERS.items()):
                image, matrix = view.of_student(student)
                targets, inside = self.outputs.targets(
                    predicted[teacher], compose(invert(shown.matrix), matrix),
                    view.size, view.half_pixels)
                taught = weights if inside is None else weights * inside
                if self.confidence_threshold > 0:
                    taught = taught * (scores[teacher] >= self.confidence_threshold)
                network = self.networks[name]
                output = network.head.forward(network.extract_feat(image))
                losses[f'{name}.loss_consistency'] += (
                    self.consistency_weight *
                    self.outputs.loss(output, targets, taught))
                if self.temporal_loss:
                    losses[f'{name}.loss_temporal'] += self._temporal(
                        output, matrix, weights, *frames)
                if name not in own:
                    own[name] = self.outputs.peaks(output)
        for name in self.networks:
            losses |= self._figures(name, 'unlabeled', own[name], weights > 0)
        return dict(losses, consistency_weight=weights.new_full(
            (), self.consistency_weight))

    def _temporal(self, output: Output, matrix: Tensor, weights: Tensor,
                  frames: Tensor, following: Tensor) -> Tensor:
        """The temporal loss of a student's output, in pixels of the easy view."""
        joints = move(self.outputs.soft_joints(output), matrix)
        scores = self.outputs.peaks(output) / self.outputs.height
        scores = weights * scores.clamp(0, 1)
        return self.temporal_loss(joints[frames], joints[following], torch.minimum(
            scores[frames], scores[following]))

    @torch.no_grad()
    def teach(self, inputs: Tensor, data_samples: SampleList
              ) -> tuple[dict[str, Output], HardView, HardView]:
        """What teachers predict of unlabeled images.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`]): Their samples.

        Returns:
            tuple: Outputs by the teacher's name; the view that teachers were shown, or
            where there were several, the easy view; and the easy view with the joints
            that they predict.
        """
        preprocessor, ones = self.data_preprocessor, inputs.new_ones(3, 1, 1)
        easy = HardView(
            image=inputs,
            joints=inputs.new_empty(len(self.TEACHERS), len(inputs), 0, 2),
            mean=getattr(preprocessor, 'mean', 0 * ones),
            std=getattr(preprocessor, 'std', ones),
            # MMCV loads images as BGR
            rgb=turns_channels(preprocessor),
            flip_indices=data_samples[0].metainfo.get('flip_indices'))
        views = [path(easy) for path in self.teacher_views]
        shown = views[0] if len(views) == 1 else easy
        predicted = self.predict_easy(views)
        outputs = [predicted[teacher] for teacher in self.TEACHERS.values()]
        joints = torch.stack([move(self.outputs.joints(output), shown.matrix)
                              for output in outputs])
        scores = torch.stack([self.outputs.peaks(output) for output in outputs])
        # what paths of teachers share is not for those of students
        return predicted, shown, easy.replace(joints=joints, scores=scores, shared={})

    def predict_easy(self, views: Sequence[HardView]) -> dict[str, Output]:
        """What each teacher predicts of the views that it sees, by its name."""
        return {name: self.teach_with(self.teaching(name), views)
                for name in dict.fromkeys(self.TEACHERS.values())
                if name in self.networks}

    def teaching(self, name: str) -> nn.Module:
        """The network, or its average, that teaches in the name of a network."""
        return self.predictor(f'ema_{name}' if self.averages else name)

    def teach_with(self, network: nn.Module, views: Sequence[HardView]) -> Output:
        """A network's output as a teacher's, of several views their mean."""
        with evaluation(network) if self.teacher != 'train' else nullcontext():
            predicted = [network.head.forward(network.extract_feat(view.image))
                         for view in views]
        return predicted[0] if len(views) == 1 else average_views(
            self.outputs, predicted, views)

    def scores(self, peaks: dict[str, Tensor]) -> dict[str, Tensor]:
        """By what ``confidence_threshold`` judges joints, in shape [B, K].

        Args:
            peaks (dict): How each teacher scores them, by its name.
        """
        return peaks

    def begin_rounds(self) -> None:
        """Prepare what :meth:`end_round` keeps: nothing here."""

    def end_round(self) -> None:
        """Keep what the next pass over the data needs of this one: nothing here."""

    # it draws random numbers of its own
    @torch.compiler.disable
    @torch.no_grad()
    def hardness(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """How much harder students have it than their teachers, by labels.

        Labeled images become hard views as the unlabeled ones do. Nothing of the
        training changes by it: networks are in evaluation mode, and random numbers are
        drawn apart.

        Args:
            inputs (Tensor): Labeled images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`]): Their samples.

        Returns:
            dict: For each network ``hardness``: its error on hard views, summed over
            paths, over its teacher's on the view that that one sees. Errors are
            consistency losses with the labels for a teacher, of joints that all
            these views show. At 1 there is nothing to learn from the teacher.
        """
        truth = self.outputs.labels(data_samples)
        weights = keypoint_weights(data_samples).to(inputs.device)
        hard, easy = ({name: 0. for name in self.TEACHERS} for _ in range(2))

        def error(output: Output, view: HardView, matrix: Tensor,
                  weights: Tensor) -> Tensor:
            targets, _ = self.outputs.targets(
                truth, matrix, view.size, view.half_pixels)
            return self.outputs.loss(output, targets, weights)

        with torch.random.fork_rng(devices=[]), evaluation(self):
            predicted, shown, easy_view = self.teach(inputs, data_samples)
            for path in self.hard_views:
                view = path(easy_view)
                for student, (name, teacher) in enumerate(self.TEACHERS.items()):
                    image, matrix = view.of_student(student)
                    seen = weights * self._shows(truth, shown.matrix, shown.size)
                    seen = seen * self._shows(truth, matrix, view.size)
                    network = self.networks[name]
                    output = network.head.forward(network.extract_feat(image))
                    hard[name] += error(output, view, matrix, seen)
                    easy[name] += error(predicted[teacher], shown, shown.matrix, seen)
        return {f'{name}.hardness': hard[name] / easy[name].clamp(min=1e-12)
                for name in self.TEACHERS}

    def _shows(self, truth: Output, matrix: Tensor, size: tuple[int, int]) -> Tensor:
        """Whether joints lie in a view of the easy view, in shape [B, K]."""
        joints = move(self.outputs.joints(truth), invert(matrix))
        last = joints.new_tensor(size) - 1
        return ((joints >= 0) & (joints <= last)).all(dim=2)

    def _figures(self, network: str, part: str, peaks: Tensor,
                 which: Tensor) -> dict:
        """Mean score of some joints, and the share above the threshold."""
        which = which.to(peaks)
        count = which.sum().clamp(min=1)
        confident = (peaks > self.peak_threshold).to(peaks)
        return {f'{network}.peak_{part}': (peaks * which).sum() / count,
                f'{network}.confident_{part}': (confident * which).sum() / count}

    def parse_losses(self, losses: dict) -> tuple[Tensor, dict]:
        """As MMEngine's, with an error where a runner has no ``DualNetworkHook``."""
        check_hook_ran(self, 'DualNetworkHook', self.hook_ran)
        return super().parse_losses(losses)

    def val_step(self, data: dict) -> SampleList:
        """Predict with everything that can, to be reported side by side."""
        data = self.data_preprocessor(data, False)
        return self.predict(self._images(data['inputs']),
                            data['data_samples'], self.predictors)

    def predict(self, inputs: Tensor, data_samples: SampleList,
                names: Sequence[str] = ()) -> SampleList:
        """Predict as the networks do, with their own ``test_cfg``.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`]): Their samples.
            names (Sequence[str]): What else is to predict beside ``predict_with``.

        Returns:
            list[:obj:`PoseDataSample`]: The samples, with each prediction in
            ``pred_instances_{name}``, that of ``predict_with`` in ``pred_instances``
            too, and its name in the metainfo ``predicted_with``.
        """
        names = {self.predict_with, *names}
        if 'ensemble' in names:
            names |= set(self.networks)
        outputs, instances, fields = [], {}, {}
        for name in filter(names.__contains__, self.predictors):
            if name == 'ensemble':
                first = self.networks['first']
                first.add_pred_to_datasample(
                    first.head.decode(average(outputs)),
                    average_fields([fields[each] for each in self.networks]),
                    data_samples)
            else:
                network = self.predictor(name)
                with recorded(network.head, 'decode', keep=cloned) as calls:
                    network.forward(inputs, data_samples, mode='predict')
                if name in self.networks:
                    outputs.append(calls[-1][0][0])
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


@MODELS.register_module()
class PoseCons(EasyHardConsistency):
    """One network that teaches itself, as :class:`EasyHardConsistency` has it."""

    TEACHERS = dict(first='first')


@MODELS.register_module()
class PoseDual(EasyHardConsistency):
    """Two networks that teach each other, as :class:`EasyHardConsistency` has it."""

    TEACHERS = dict(first='second', second='first')


def initialized(network: dict, init_cfg: dict | None) -> dict:
    """A network's config whose backbone begins from other weights, if any."""
    return network if init_cfg is None else dict(
        network, backbone=dict(network['backbone'], init_cfg=init_cfg))


def paths_of(views: Sequence, key: str) -> nn.ModuleList:
    """Paths of steps, of which there may be one alone, at a key of the config."""
    paths = [views] if all(isinstance(step, dict) for step in views) else views
    if not all(isinstance(path, (list, tuple)) for path in paths):
        raise UserError(f'{key} must be a list of steps or a list of such lists, not a '
                        f'mixture of both: {views}')
    return nn.ModuleList(nn.Sequential(*map(MODELS.build, path)) for path in paths)


def part_of(inputs: Tensor, indices: list[int]) -> Tensor:
    """Some images of a batch, without waiting for the device."""
    first, last = indices[0], indices[-1]
    if indices == list(range(first, last + 1)):
        return inputs[first:last + 1]  # as the sampler orders them: no copy
    return inputs[torch.tensor(indices).to(inputs.device, non_blocking=True)]


def neighboring_frames(data_samples: SampleList) -> Tensor:
    """Places in a batch of frames and of those that follow them, in shape [2, N].

    Raises:
        UserError: If no sample is of a clip.
    """
    clips = [sample.metainfo.get('clip') for sample in data_samples]
    if not any(clips):
        raise UserError(
            'temporal_loss needs clips, but no unlabeled sample is of one. Give the '
            'UnlabeledPoseDataset of your folder of frames a clip_length')
    # another image may have taken the place of one that could not be loaded
    frames = [index for index, (clip, after) in enumerate(pairwise(clips))
              if clip and after and after == (clip[0], clip[1] + 1)]
    return torch.tensor([frames, [index + 1 for index in frames]], dtype=torch.long)


def keypoint_weights(data_samples: SampleList) -> Tensor:
    """Weights of a batch's joints in shape [B, K], of several levels the last ones."""
    return torch.stack([
        sample.gt_instance_labels.keypoint_weights.flatten(0, -2)[-1]
        for sample in data_samples])
