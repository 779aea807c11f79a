from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpose.models.heads import MSPNHead
from mmpose.models.losses.heatmap_loss import FocalHeatmapLoss
from mmpose.registry import MODELS
from mmpose.utils.typing import ConfigType, SampleList
from torch import Tensor, nn

from ...common.checks import non_negative, one_of, within
from ...common.configs import components_of_class
from ...common.errors import UserError
from ...common.hooks import check_hook_ran
from ...preflight import raise_for_missing
from ..heads.keypoint_outputs import (
    HeatmapOutputs,
    KeypointOutputs,
    Output,
    at_least_float32,
    check_weighted,
    head_of,
    keypoint_outputs,
    scaled,
)
from ..module_contexts import recorded
from .frozen_teacher import FrozenTeacher
from .frozen_teachers import FrozenTeachers


@MODELS.register_module()
class FastPoseDistiller(BaseModel):
    r"""A student that learns from labels and from a larger teacher.

    .. math::
        L = \sum_s (1 - \alpha) \, \ell(o_s, y)
        + \alpha \, \ell(o_s, t) + w_u \, \ell_u(o_s, t)

    over the stages s of the student's head, with their outputs
    :math:`o_s`, targets y of the labels and t of the teacher's last stage.
    :math:`\ell` counts the labeled samples of a batch, :math:`\ell_u` the
    unlabeled ones, each with the weights of its joints; a loss that is a mean
    is one over the whole batch. Equations 3 to 6 of Zhang et al., `Fast Human Pose
    Estimation <https://arxiv.org/abs/1811.05419>`_ (CVPR 2019), and for
    unlabeled samples as its public implementation describes it.

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
        teacher (str or dict): Path of the teacher's config, the name of a stock one
            (``'mmpose::…'``), or the config of its model: a stock pose estimator with
            heatmaps, or, for a SimCC student, with SimCC; for coordinates and offsets
            any of these. Heatmap sizes, input sizes of the same aspect ratio and
            preprocessors may differ.
        teacher_checkpoint (str): Path or URL of its checkpoint.
        student (dict): Config of any stock top-down pose estimator with a heatmap
            head (of one stage or several), with offsets too, a SimCC head, or a
            regression head. Its ``data_preprocessor`` serves this model.
        alpha (float): :math:`\alpha`, from 0 (stock training) to 1 (teacher only).
        unlabeled_weight (float): :math:`w_u`, at least 0.
        teach_all_joints (bool): Whether the teacher also teaches joints that have no
            label, with the largest weight of that sample's joints.
        criterion (dict, optional): Config of the loss between student and teacher;
            ``None``: the loss of the student's head.
        feature_loss (dict, optional): Config of a loss between the last feature maps of
            student and teacher, in shape [B, C, H, W], such as MMPose's ``FeaLoss``.
            The teacher's are resized to the student's.
        teacher_decay (bool): Whether all that the teacher teaches falls linearly to 0
            over the training, as in DWPose.
        frozen (Sequence[str]): Parts of the student that do not learn, such as
            ``['backbone']``: so a head is taught by the network that it is cut from.
        keypoint_mapping (list[tuple[int, int]], optional): Pairs of the teacher's and
            the student's joint that are the same; ``None``: both have the same.
            Labels alone teach joints that the teacher lacks.
        more_teachers (list[dict]): Others beside it, such as one of hands beside one of
            bodies: each with ``teacher``, ``teacher_checkpoint`` and, where it has
            other joints, ``keypoint_mapping``. A joint that several have is taught
            their mean.
        train_cfg (None): What MMPose sets for inference; ``student`` has its own.
        test_cfg (None): Likewise.
        data_preprocessor (dict, optional): ``None``: the student's.
        init_cfg (dict, optional): As in MMEngine.

    Raises:
        UserError: If an argument is out of its range, if the student's outputs are of
            no known kind, or if a loss cannot compare them with a teacher's.
    """

    source = ('a teacher is trained first: python -m mmpose_wloss train with '
              "its config; or take one of MMPose's model zoo, --cfg-options "
              'model.teacher_checkpoint=…')
    hooks = ('DistillationHook', )
    # DistillationHook says so
    hook_ran = False

    def __init__(self,
                 teacher: str | dict,
                 teacher_checkpoint: str | None,
                 student: ConfigType,
                 alpha: float = 0.5,
                 unlabeled_weight: float = 1.,
                 teach_all_joints: bool = False,
                 criterion: ConfigType | None = None,
                 feature_loss: ConfigType | None = None,
                 teacher_decay: bool = False,
                 frozen: Sequence[str] = (),
                 keypoint_mapping: Sequence[tuple[int, int]] | None = None,
                 more_teachers: Sequence[dict] = (),
                 train_cfg: None = None,
                 test_cfg: None = None,
                 data_preprocessor: dict | None = None,
                 init_cfg: dict | None = None):
        within(0, 1, alpha=alpha)
        non_negative(unlabeled_weight=unlabeled_weight)
        if train_cfg or test_cfg:
            raise UserError('train_cfg and test_cfg belong into `student`, but the '
                            f'model has {train_cfg or test_cfg}')
        student = dict(student)
        preprocessor = student.pop('data_preprocessor', None)
        super().__init__(data_preprocessor or preprocessor, init_cfg)
        self.student = MODELS.build(student)
        self.outputs = keypoint_outputs(head_of(self.student, 'student'), 'student')
        self.criterion = None if criterion is None else MODELS.build(criterion)
        check_criteria(self.outputs, self._criteria(1))
        self.feature_loss = feature_loss and MODELS.build(feature_loss)
        self.teacher_decay = teacher_decay
        self.teaching = 1.  # DistillationHook lets it fall
        self.frozen = list(frozen)
        for part in self.frozen:
            one_of([name for name, _ in self.student.named_children()], frozen=part)
            self.student.get_submodule(part).requires_grad_(False)
        self.alpha = alpha
        self.unlabeled_weight = unlabeled_weight
        self.teach_all_joints = teach_all_joints
        self.teacher_checkpoint = teacher_checkpoint
        self.teacher_configs = [
            dict(teacher=teacher, teacher_checkpoint=teacher_checkpoint,
                 keypoint_mapping=keypoint_mapping), *map(dict, more_teachers)]
        for index, each in enumerate(self.teacher_configs[1:]):
            for name in each:
                one_of(self.teacher_configs[0], **{f'more_teachers[{index}]': name})
        # in a tuple it is no submodule: neither state, nor parameters of an
        # optimizer, nor a mode of its own
        self._teacher = ()

    @classmethod
    def check_config(cls, component: dict, key: str, cfg: Config) -> None:
        """Check that the checkpoint of the teacher, where needed, is there."""
        data = cfg.get('train_dataloader')
        file = component.get('teacher_checkpoint')
        needed = component.get('alpha', 0.5) > 0 or component.get(
            'feature_loss') or any(components_of_class(data, 'UnlabeledPoseDataset'))
        if data is not None and file and needed:
            raise_for_missing(
                (f'{key_of}.teacher_checkpoint', Path(each['teacher_checkpoint']), cls)
                for key_of, each in [(key, component), *(
                    (f'{key}.more_teachers.{index}', each) for index, each in enumerate(
                        component.get('more_teachers') or ()))]
                if each.get('teacher_checkpoint'))

    @property
    def has_teacher(self) -> bool:
        """Whether the teacher is loaded."""
        return bool(self._teacher)

    @property
    def teacher(self) -> FrozenTeacher | FrozenTeachers:
        """The teacher, or several, loaded when they are first asked for."""
        self.load_teacher()
        return self._teacher[0]

    def load_teacher(self) -> None:
        """Load the teacher, unless that is done."""
        if self._teacher:
            return
        # what it draws at first must not change what the student draws
        with torch.random.fork_rng(devices=[]):
            teachers = [FrozenTeacher(
                each['teacher'], each.get('teacher_checkpoint'), self.student,
                self.data_preprocessor, each.get('keypoint_mapping'))
                for each in self.teacher_configs]
            teacher = FrozenTeachers(teachers) if len(teachers) > 1 else teachers[0]
        place = next(self.student.parameters()).device
        self._teacher = (teacher.to(place), )

    def init_weights(self) -> None:
        """Initialize the student and load the teacher, where a training begins.

        With ``alpha=0``, DistillationHook loads it if there are unlabeled samples.
        """
        super().init_weights()
        if self.alpha > 0 or self.feature_loss:
            self.load_teacher()

    def train(self, mode: bool = True) -> 'FastPoseDistiller':
        """Set the mode of all but the frozen parts, whose statistics stay, too."""
        super().train(mode)
        for part in self.frozen:
            self.student.get_submodule(part).eval()
        return self

    def _apply(self, *args, **kwargs) -> 'FastPoseDistiller':
        """Move the teacher along to another device or type."""
        for teacher in getattr(self, '_teacher', ()):
            teacher._apply(*args, **kwargs)
        return super()._apply(*args, **kwargs)

    def forward(self,
                inputs: Tensor,
                data_samples: SampleList | None = None,
                mode: str = 'tensor') -> dict | SampleList | Output:
        """As a stock pose estimator's; all but the loss is the student's."""
        if mode == 'loss':
            if isinstance(inputs, list):
                inputs = torch.stack(inputs)
            return self.loss(inputs, data_samples)
        return self.student(inputs, data_samples, mode)

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict:
        """Losses of a batch, of which any part may be labeled.

        Args:
            inputs (Tensor): Images in shape [B, 3, H, W].
            data_samples (list[:obj:`PoseDataSample`]): Their samples. Those with
                ``labeled=False`` in the metainfo are unlabeled.

        Returns:
            dict: The student's stock losses times :math:`1 - \\alpha` and its
            accuracies, ``loss_distill`` of labeled samples,
            ``loss_distill_unlabeled``, and ``loss_feature`` of all of them.

        Raises:
            UserError: If a loss does not weigh joints, but some lack a label.
        """
        labeled = [bool(sample.metainfo.get('labeled', True))
                   for sample in data_samples]
        taught = self.alpha > 0 or bool(self.feature_loss) or (
            self.unlabeled_weight > 0 and not all(labeled))
        if not self.feature_loss:
            targets = self.teacher(inputs) if taught else None
            losses, output = self._supervised(inputs, data_samples, labeled, taught)
        else:
            targets, features = self.teacher.with_features(inputs)
            with recorded(self.student, 'extract_feat', keep=lambda _: None) as calls:
                losses, output = self._supervised(
                    inputs, data_samples, labeled, taught)
            own = at_least_float32(calls[-1][1][-1])
            losses['loss_feature'] = self.teaching * self.feature_loss(
                own, resized(features, own))
        if taught:
            weights = torch.cat([sample.gt_instance_labels.keypoint_weights
                                 for sample in data_samples])
            losses.update(self._distill(output, targets, weights, labeled))
        return losses

    def _supervised(self, inputs: Tensor, data_samples: SampleList,
                    labeled: list[bool], taught: bool) -> tuple[dict, Output]:
        """Losses of the labels, and what the student predicts of all images."""
        if not all(labeled) or (taught and (
                self.teach_all_joints or any(
                    each.get('keypoint_mapping') for each in self.teacher_configs))):
            check_weighted(self.student.head.loss_module, *self._criteria(1))
        losses = {}
        if any(labeled):
            # NumPy, by which a head computes an accuracy, knows no bfloat16
            with recorded(self.student.head, 'forward', keep=lambda _: None,
                          change=at_least_float32) as calls:
                stock = self.student.loss(
                    inputs, with_labels(data_samples, labeled))
            output = calls[-1][1]
            losses = scaled(stock, 1 - self.alpha)
        else:
            output = at_least_float32(
                self.student(inputs, None, mode='tensor'))
            if not self.unlabeled_weight:
                # something to go back from, as in other processes
                losses['loss_distill_unlabeled'] = 0. * sum(
                    part.sum() for part in (
                        [output] if isinstance(output, Tensor) else output))
        return losses, output

    def _distill(self, output: Output, targets: Output, weights: Tensor,
                 labeled: list[bool]) -> dict:
        if self.teach_all_joints:
            weights = weights.amax(dim=1, keepdim=True).expand_as(weights)
        joints = self.teacher.taught
        if joints is not None:
            weights = weights * joints
        losses = {}
        for name, factor, part in (
                ('loss_distill', self.alpha, labeled),
                ('loss_distill_unlabeled', self.unlabeled_weight,
                 [not each for each in labeled])):
            if factor > 0 and any(part):
                mask = torch.tensor(part, dtype=weights.dtype).to(
                    weights.device, non_blocking=True)
                losses[name] = self.teaching * factor * self._compare(
                    output, targets, weights * mask[:, None])
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
            if self.teacher.from_simcc:
                targets = tuple(simcc_label(target, criterion)
                                for target in targets)
            return self.outputs.compare(criterion, output, targets, weights)
        stages = self.outputs.stages(output)
        return sum(each(stage, in_range(targets, each), weights)
                   for each, stage in zip(self._criteria(len(stages)), stages,
                                          strict=True))

    def parse_losses(self, losses: dict) -> tuple[Tensor, dict]:
        """As MMEngine's, with an error where a runner has no ``DistillationHook``."""
        check_hook_ran(self, 'DistillationHook', self.hook_ran)
        return super().parse_losses(losses)


def check_criteria(outputs: KeypointOutputs, criteria: list[nn.Module]) -> None:
    """Refuse losses that cannot compare a student's outputs with a teacher's."""
    if isinstance(outputs.head, MSPNHead):
        raise UserError('MSPNHead has heatmaps of several sizes for each stage, but a '
                        'teacher gives one. Take a HeatmapHead or a CPMHead')
    for criterion in criteria:
        if isinstance(criterion, FocalHeatmapLoss):
            raise UserError('FocalHeatmapLoss tells joints by targets of exactly 1, '
                            'which a teacher never predicts. Take another criterion')
        if not outputs.fits(criterion):
            raise UserError(
                f'{type(criterion).__name__} cannot compare these outputs with a '
                "teacher's: take KLDiscretLoss for SimCC, a heatmap loss such as "
                'KeypointMSELoss for heatmaps, one of coordinates such as '
                'MaskedMSELoss for these')


def resized(features: Tensor, like: Tensor) -> Tensor:
    """Feature maps of the size of others, in shape [B, C, H, W]."""
    return features if features.shape[2:] == like.shape[2:] else F.interpolate(
        features, like.shape[2:], mode='bilinear', align_corners=False)


def in_range(heatmaps: Tensor, criterion: nn.Module) -> Tensor:
    """Heatmaps, cut to the targets of which a criterion knows the weight."""
    limits = getattr(criterion, 'target_range', None)
    return heatmaps if limits is None else heatmaps.clamp(*limits)


def simcc_label(probabilities: Tensor, criterion: nn.Module) -> Tensor:
    """Probabilities as a label of ``KLDiscretLoss``, which may take a softmax."""
    if not getattr(criterion, 'label_softmax', False):
        return probabilities
    beta = getattr(criterion, 'label_beta', criterion.beta)
    return probabilities.clamp(min=1e-12).log() / beta


# samples hold NumPy arrays, at whose copies a compiled step ends with an error
@torch.compiler.disable
def with_labels(data_samples: SampleList, labeled: list[bool]) -> SampleList:
    """The samples, of which unlabeled ones have labels without weight.

    So a stock head takes them all at once, and they count in the batch's size alone.
    """
    if all(labeled):
        return data_samples
    example = data_samples[labeled.index(True)]
    fields = {name: type(example.get(name))(**{
        key: torch.zeros_like(value)
        for key, value in example.get(name).items()})
        for name in ('gt_instance_labels', 'gt_fields') if name in example}
    filled = []
    for sample, has_labels in zip(data_samples, labeled, strict=True):
        if not has_labels:
            sample = sample.new()
            for name, field in fields.items():
                setattr(sample, name, field)
        filled.append(sample)
    return filled
