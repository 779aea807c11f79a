"""A trained pose estimator that only ever predicts."""

import hashlib
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmpose.registry import MODELS
from torch import Tensor, nn

from ...common.errors import UserError
from ...common.files import existing_file
from ...common.state_dicts import load_strictly
from ..heads.keypoint_outputs import (
    Output,
    at_least_float32,
    head_of,
    keypoint_outputs,
)
from ..module_contexts import recorded
from .input_mapping import InputMapping
from .target_mapping import TargetMapping

ADVICE = ('teacher must be the config that teacher_checkpoint was trained with. '
          'python -m mmpose_wloss export takes a network out of a checkpoint of '
          'PoseCons, PoseDual, PoseTriple or FastPoseDistiller')


class FrozenTeacher(nn.Module):
    """A teacher that gives targets as a student's head gives outputs.

    It takes the student's images, normalizes and sizes them as its own, and brings
    what it predicts to the student's joints and sizes.

    Args:
        source (str or dict): Path of its config, the name of a stock one such as
            ``'mmpose::body_2d_keypoint/…/….py'``, or the config of its model.
        checkpoint (str): Path or URL of its checkpoint.
        student (nn.Module): The stock pose estimator that it teaches.
        preprocessor (nn.Module): The preprocessor of the student's images.
        keypoint_mapping (list[tuple[int, int]], optional): See :class:`TargetMapping`.

    Attributes:
        network (nn.Module): The teacher, as its config builds it.
        meta (dict): Meta information of its checkpoint.
        digest (str): SHA-256 of its weights.

    Raises:
        MissingFile: If there is no such config or checkpoint.
        UserError: If the checkpoint does not fit, if the model has no head, or if
            joints, codecs or aspect ratios of teacher and student differ.
    """

    def __init__(self, source: str | dict, checkpoint: str,
                 student: nn.Module, preprocessor: nn.Module,
                 keypoint_mapping: Sequence[tuple[int, int]] | None = None):
        super().__init__()
        if not checkpoint:
            raise UserError('a teacher must be trained: name its checkpoint, '
                            'teacher_checkpoint=…, or on the command line '
                            '--cfg-options model.teacher_checkpoint=…')
        if '://' not in checkpoint:
            existing_file(checkpoint, 'teacher_checkpoint')
        if isinstance(source, str):
            config = (get_config(source) if '::' in source else
                      Config.fromfile(existing_file(source, 'config')))
            if 'model' not in config:
                raise UserError(f'{source} configures no model')
            source = config.model
        init_default_scope('mmpose')
        self.network = MODELS.build(source)
        head = head_of(self.network, 'teacher')
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
        load_strictly(self.network, content.get('state_dict', content), checkpoint,
                      ADVICE)
        self.meta = content.get('meta') or {}
        self.eval().requires_grad_(False)
        self.outputs = keypoint_outputs(head, 'teacher')
        self.inputs = InputMapping(
            preprocessor, self.network.data_preprocessor,
            student.head.decoder.input_size, head.decoder.input_size)
        self.targets = TargetMapping(
            keypoint_outputs(student.head, 'student'), self.outputs, keypoint_mapping)
        digest = hashlib.sha256()
        for key, value in self.network.state_dict().items():
            digest.update(key.encode())
            digest.update(value.cpu().contiguous().numpy().tobytes())
        self.digest = digest.hexdigest()
        self.keypoint_mapping = keypoint_mapping

    @property
    def taught(self) -> Tensor | None:
        """1 for joints of the student that the teacher has, else 0, in shape [K]."""
        return self.targets.taught

    @property
    def from_simcc(self) -> bool:
        """Whether targets are probabilities, not labels of a codec."""
        return self.targets.from_simcc

    def train(self, mode: bool = True) -> 'FrozenTeacher':
        """Stay in evaluation mode, whatever the student's mode is."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Output:
        """Targets of the student's preprocessed images [B, 3, H, W].

        They are those of :class:`TargetMapping`, in at least float32.
        """
        output = self.network(self.inputs(images), None, mode='tensor')
        return self.targets(self.outputs.final(output))

    def with_features(self, images: Tensor) -> tuple[Output, Tensor]:
        """Targets, and the teacher's last feature maps in shape [B, C, H, W]."""
        with recorded(self.network, 'extract_feat', keep=lambda _: None) as calls:
            targets = self(images)
        return targets, at_least_float32(calls[-1][1][-1])
