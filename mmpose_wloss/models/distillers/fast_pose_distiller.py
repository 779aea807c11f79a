from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from mmpose.models.heads import MSPNHead
from mmpose.models.losses import KLDiscretLoss
from mmpose.models.losses.heatmap_loss import FocalHeatmapLoss
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, SampleList
from torch import Tensor, nn

from ..heads.keypoint_outputs import (
    HeatmapOutputs,
    Output,
    at_least_float32,
    check_weighted,
    keypoint_outputs,
)
from ..module_contexts import recorded
from .frozen_teacher import FrozenTeacher


@MODELS.register_module()
class FastPoseDistiller(BaseModel):
    r"""A student that learns from labels and from a larger teacher.

    .. math::
        L = \sum_s (1 - \alpha) \, \ell(o_s, y)
        + \alpha \, \ell(o_s, t) + w_u \, \ell_u(o_s, t)

    over the stages s of the student's head, with their outputs
    :math:`o_s`, targets y of the labels and t of the teacher's last stage.
    :math:`\ell` counts the labelled samples of a batch, :math:`\ell_u` the
    unlabelled ones, each with the weights of its joints; a loss that is a mean
    is one over the whole batch. Equations 3 to 6 of Zhang et al., `Fast Human Pose
    Estimation <https://arxiv.org/abs/1811.05419>`_ (CVPR 2019), and for
    unlabelled samples as its public implementation describes it.

    :math:`\ell` is the loss of the student's own head: with
    ``KeypointMSELoss`` as published; a loss that weighs pixels by the target
    sees t clipped to the target's range. What SimCC students are taught, see
    :class:`TargetMapping`.

    .. code-block:: python

        model = dict(
            type='FastPoseDistiller',
            teacher='configs/hourglass_s8_mpii.py',
            teacher_checkpoint='work_dirs/hourglass_s8_mpii/epoch_90.pth',
            student=dict(type='TopdownPoseEstimator', ...))

    The teacher is loaded when a training begins, and is no part of the
    model's state: checkpoints hold the student alone (``student.…``), and
    testing or exporting it needs no teacher.

    Args:
        teacher (str or dict): Path of the teacher's config, the name of a
            stock one (``'mmpose::…'``), or the config of its model: a stock
            pose estimator with heatmaps, or, for a SimCC student, with SimCC.
            It may have other heatmap sizes, other input sizes of the same
            aspect ratio, and another preprocessor.
        teacher_checkpoint (str): Path or URL of its checkpoint.
        student (dict): Config of any stock top-down pose estimator with a
            heatmap head (of one stage or several) or a SimCC head. Its
            ``data_preprocessor`` serves this model; the rest of it is left as
            it is.
        alpha (float): :math:`\alpha`, from 0 (labels only: the student's stock
            training) to 1 (teacher only). Defaults to 0.5.
        unlabeled_weight (float): :math:`w_u`. Defaults to 1.
        teach_all_joints (bool): Whether the teacher also teaches joints that
            have no label, with the largest weight of that sample's joints.
            Defaults to ``False``: joints weigh as in the loss of the labels.
        criterion (dict, optional): Config of another loss between student and
            teacher. Defaults to ``None``: the loss of the student's head.
        keypoint_mapping (list[tuple[int, int]], optional): Joint of the
            teacher and joint of the student that are the same, where their
            joints differ. Joints that the teacher lacks are taught by labels
            alone. Defaults to ``None``: the same joints.
        train_cfg (None): What MMPose sets for inference. That of the student
            stands in ``student``.
        test_cfg (None): Likewise.
        data_preprocessor (dict, optional): Defaults to the student's.
        init_cfg (dict, optional): As in MMEngine.

    Raises:
        ValueError: If ``alpha`` or ``unlabeled_weight`` is out of its range,
            or if the student has no head with a decoder.
        TypeError: If its outputs are neither heatmaps nor SimCC, or if a loss
            cannot compare them with a teacher's.
    """

    def __init__(self,
                 teacher: str | dict,
                 teacher_checkpoint: str | None,
                 student: ConfigType,
                 alpha: float = 0.5,
                 unlabeled_weight: float = 1.,
                 teach_all_joints: bool = False,
                 criterion: ConfigType | None = None,
                 keypoint_mapping: Sequence[tuple[int, int]] | None = None,
                 train_cfg: None = None,
                 test_cfg: None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None):
        if not 0 <= alpha <= 1:
            raise ValueError(f'alpha must be from 0 (labels only) to 1 (teacher '
                             f'only), but it is {alpha}')
        if not unlabeled_weight >= 0:
            raise ValueError('unlabeled_weight must be at least 0, but it is '
                             f'{unlabeled_weight}')
        for name, value in (('train_cfg', train_cfg), ('test_cfg', test_cfg)):
            if value:
                raise ValueError(f'{name} belongs into `student`, which reads '
                                 f'it, but the model has {value}')
        student = dict(student)
        preprocessor = student.pop('data_preprocessor', None)
        super().__init__(data_preprocessor or preprocessor, init_cfg)
        self.student = MODELS.build(student)
        if not getattr(self.student, 'with_head', False):
            raise ValueError(
                '`student` must be a pose estimator with a head, but it is a '
                f'{type(self.student).__name__} without one')
        self.outputs = keypoint_outputs(
            self.student.head, 'student', 'Distillation')
        self.criterion = None if criterion is None else MODELS.build(criterion)
        check_criteria(self.student.head, self._criteria(1),
                       isinstance(self.outputs, HeatmapOutputs))
        self.alpha = alpha
        self.unlabeled_weight = unlabeled_weight
        self.teach_all_joints = teach_all_joints
        self.keypoint_mapping = keypoint_mapping
        self.teacher_config = teacher
        self.teacher_checkpoint = teacher_checkpoint
        # in a tuple it is no submodule: neither state, nor parameters of an
        # optimizer, nor a mode of its own
        self._teacher = ()

    @property
    def teacher(self) -> FrozenTeacher:
        """The teacher, which is loaded when it is first asked for."""
        if not self._teacher:
            try:
                # what it draws at first must not change what the student draws
                with torch.random.fork_rng(devices=[]):
                    self._load_teacher()
            except AttributeError as error:
                # torch would say that there is no `teacher`
                raise RuntimeError(
                    f'the teacher cannot be loaded: {error}') from error
        return self._teacher[0]

    def _load_teacher(self) -> None:
        teacher = FrozenTeacher(
            self.teacher_config, self.teacher_checkpoint, self.student,
            self.data_preprocessor, self.keypoint_mapping)
        place = next(self.student.parameters()).device
        self._teacher = (teacher.to(place), )

    @property
    def has_teacher(self) -> bool:
        """Whether it is loaded."""
        return bool(self._teacher)

    @property
    def teacher_digest(self) -> str:
        """SHA-256 of the teacher's weights."""
        return self.teacher.digest

    @property
    def teacher_names(self) -> dict[int, str]:
        """Names of the teacher's joints, empty if its checkpoint has none."""
        meta = self.teacher.meta.get('dataset_meta') or {}
        return meta.get('keypoint_id2name') or {}

    def init_weights(self) -> None:
        """Initialize the student and load the teacher.

        MMEngine calls it when a training begins, so that a teacher that does
        not fit is found before the first step. With ``alpha=0`` it is loaded
        with the first unlabelled sample, if there is one.
        """
        super().init_weights()
        if self.needs_teacher(unlabeled=False):
            _ = self.teacher

    def needs_teacher(self, unlabeled: bool) -> bool:
        """Whether anything is learned from the teacher.

        Args:
            unlabeled (bool): Whether there are unlabelled samples.
        """
        return self.alpha > 0 or (unlabeled and self.unlabeled_weight > 0)

    def _apply(self, *args, **kwargs) -> 'FastPoseDistiller':
        """Move the teacher along to another device or type."""
        for teacher in getattr(self, '_teacher', ()):
            teacher._apply(*args, **kwargs)
        return super()._apply(*args, **kwargs)

    def forward(self,
                inputs: Tensor,
                data_samples: SampleList | None = None,
                mode: str = 'tensor') -> dict | SampleList | Output:
        """As a stock pose estimator's; all but the loss is the student's.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`], optional): Their
                samples. ``metainfo['labeled']`` says which are labelled; where
                it is absent, they are.
            mode (str): ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            dict, list or Tensor: The losses, the samples with predictions, or
            what the student's head gives.
        """
        if mode == 'loss':
            if isinstance(inputs, list):
                inputs = torch.stack(inputs)
            return self.loss(inputs, data_samples)
        return self.student(inputs, data_samples, mode)

    def teach(self, inputs: Tensor) -> Output:
        """What the teacher would have the student predict.

        Args:
            inputs (Tensor): Preprocessed images in shape [B, 3, H, W].

        Returns:
            Tensor or tuple[Tensor]: Heatmaps in shape [B, K, h, w], or
            distributions over x and y in shapes [B, K, Wx] and [B, K, Wy].
        """
        return self.teacher(inputs)

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Losses of a batch, of which any part may be labelled.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`]): Their samples.

        Returns:
            dict: The student's stock losses times :math:`1 - \\alpha` and its
            accuracies, ``loss_distill`` of labelled samples, and
            ``loss_distill_unlabeled``.

        Raises:
            ValueError: If some samples or joints are not to be taught by all,
                and a loss does not weigh joints.
        """
        labeled = [bool(sample.metainfo.get('labeled', True))
                   for sample in data_samples]
        targets = (self.teach(inputs)
                   if self.needs_teacher(not all(labeled)) else None)
        if not all(labeled) or (targets is not None and (
                self.teach_all_joints or self.keypoint_mapping)):
            check_weighted(self.student.head.loss_module, *self._criteria(1))
        losses = {}
        if any(labeled):
            # the head computes its outputs and keeps them to itself; NumPy,
            # by which it computes an accuracy, knows no bfloat16
            with recorded(self.student.head, 'forward', keep=nothing,
                          change=at_least_float32) as calls:
                stock = self.student.loss(
                    inputs, with_labels(data_samples, labeled))
            output = calls[-1][1]
            losses = {key: scaled(value, 1 - self.alpha)
                      if 'loss' in key else value
                      for key, value in stock.items()}
        else:
            output = at_least_float32(
                self.student(inputs, None, mode='tensor'))
            if targets is None:
                # something to go back from, as in other processes
                losses['loss_distill_unlabeled'] = 0. * sum(
                    part.sum() for part in parts_of(output))
        if targets is not None:
            weights = torch.cat([sample.gt_instance_labels.keypoint_weights
                                 for sample in data_samples])
            losses.update(self._distill(output, targets, weights, labeled))
        return losses

    def _distill(self, output: Output, targets: Output, weights: Tensor,
                 labeled: list[bool]) -> dict:
        taught = self.teacher.taught
        if self.teach_all_joints:
            weights = weights.amax(dim=1, keepdim=True).expand_as(weights)
        if taught is not None:
            weights = weights * taught
        parts = dict(loss_distill=(self.alpha, labeled),
                     loss_distill_unlabeled=(self.unlabeled_weight,
                                             [not x for x in labeled]))
        losses = {}
        for name, (factor, part) in parts.items():
            if factor > 0 and any(part):
                chosen = weights
                if not all(part):
                    mask = torch.tensor(part, dtype=weights.dtype)
                    chosen = weights * mask.to(
                        weights.device, non_blocking=True)[:, None]
                losses[name] = factor * self._compare(output, targets, chosen)
        return losses

    def _criteria(self, stages: int) -> list[nn.Module]:
        """The loss between student and teacher, for each stage."""
        criterion = self.criterion or self.student.head.loss_module
        return (list(criterion) if isinstance(criterion, nn.ModuleList)
                else [criterion] * stages)

    def _compare(self, output: Output, targets: Output,
                 weights: Tensor) -> Tensor:
        """The loss between outputs and targets, over all stages."""
        if not isinstance(self.outputs, HeatmapOutputs):
            criterion, = self._criteria(1)
            if not self.teacher.gives_labels:
                targets = tuple(simcc_label(target, criterion)
                                for target in targets)
            return criterion(self.outputs.final(output), targets, weights)
        stages = self.outputs.stages(output)
        return sum(each(stage, in_range(targets, each), weights)
                   for each, stage in zip(self._criteria(len(stages)), stages,
                                          strict=True))


def nothing(arguments: tuple) -> None:
    """Nothing to keep of a call's arguments."""


def parts_of(output: Output) -> Sequence[Tensor]:
    """The tensors of a head's output."""
    return [output] if isinstance(output, Tensor) else output


def check_criteria(head: nn.Module, criteria: list[nn.Module],
                   heatmaps: bool) -> None:
    """Refuse what cannot compare outputs with a teacher's.

    Args:
        head (nn.Module): The student's head.
        criteria (list[nn.Module]): The losses between student and teacher.
        heatmaps (bool): Whether the student predicts heatmaps, and not SimCC.

    Raises:
        TypeError: If a loss is not one for these outputs.
    """
    if isinstance(head, MSPNHead):
        raise TypeError(
            f'{type(head).__name__} has heatmaps of several sizes for each '
            'stage and a target for each, but a teacher gives one. Students '
            'with one size, such as those of HeatmapHead and CPMHead, can be '
            'taught')
    for criterion in criteria:
        name = type(criterion).__name__
        if isinstance(criterion, FocalHeatmapLoss):
            raise TypeError(
                'FocalHeatmapLoss tells joints by targets of exactly 1, which '
                'a teacher never predicts. Take another criterion')
        if heatmaps == isinstance(criterion, KLDiscretLoss):
            raise TypeError(
                f'{name} cannot compare {"heatmaps" if heatmaps else "SimCC"} '
                "with a teacher's: take " + (
                    'a heatmap loss such as KeypointMSELoss' if heatmaps
                    else 'KLDiscretLoss'))


def scaled(value: Tensor | list[Tensor], factor: float):
    """A loss, or a list of losses, times a factor."""
    if factor == 1:
        return value
    return ([factor * part for part in value] if isinstance(value, list)
            else factor * value)


def in_range(heatmaps: Tensor, criterion: nn.Module) -> Tensor:
    """Heatmaps as a criterion takes them for a target.

    What a teacher predicts strays from 0 and from the peak; a loss that weighs
    pixels by the target has no weight for that.
    """
    limits = getattr(criterion, 'target_range', None)
    return heatmaps if limits is None else heatmaps.clamp(*limits)


def simcc_label(probabilities: Tensor, criterion: nn.Module) -> Tensor:
    """Probabilities as ``KLDiscretLoss`` takes them for a label.

    With ``label_softmax`` it makes probabilities of them by itself.
    """
    if not getattr(criterion, 'label_softmax', False):
        return probabilities
    beta = getattr(criterion, 'label_beta', criterion.beta)
    return probabilities.clamp(min=1e-12).log() / beta


# samples hold NumPy arrays, at whose copies a compiled step ends with an error
@torch.compiler.disable
def with_labels(data_samples: SampleList, labeled: list[bool]) -> SampleList:
    """The samples, of which unlabelled ones have labels without weight.

    So a stock head takes them all at once: they count in the size of the
    batch and nowhere else.

    Args:
        data_samples (list[:obj:`PoseDataSample`]): Samples of a batch, at
            least one labelled.
        labeled (list[bool]): Which are labelled.

    Returns:
        list[:obj:`PoseDataSample`]: Labelled samples as they are, and copies
        of the others with zeros in the place of all labels and weights.
    """
    if all(labeled):
        return data_samples
    example = data_samples[labeled.index(True)]
    labels = InstanceData(**{
        key: torch.zeros_like(value)
        for key, value in example.gt_instance_labels.items()})
    fields = (PixelData(**{key: torch.zeros_like(value)
                           for key, value in example.gt_fields.items()})
              if 'gt_fields' in example else None)
    filled = []
    for sample, has_labels in zip(data_samples, labeled, strict=True):
        if not has_labels:
            sample = sample.new()
            sample.gt_instance_labels = labels
            if fields is not None:
                sample.gt_fields = fields
        filled.append(sample)
    return filled
