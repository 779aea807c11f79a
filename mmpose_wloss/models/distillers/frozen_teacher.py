"""A trained pose estimator that only ever predicts."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmpose.registry import MODELS
from torch import Tensor, nn

from ..heads.keypoint_outputs import Output, keypoint_outputs
from .input_mapping import InputMapping
from .target_mapping import TargetMapping


def model_config(source: str | dict) -> dict:
    """The model's config out of a config file, or as it is.

    Args:
        source (str or dict): Path of a config file, the name of a stock one
            such as ``'mmpose::body_2d_keypoint/…/….py'``, or a model's config.

    Returns:
        dict: Config of the model.

    Raises:
        FileNotFoundError: If there is no such file.
        KeyError: If the file configures no model.
    """
    if isinstance(source, dict):
        return source
    if '::' in source:
        config = get_config(source)
    elif Path(source).is_file():
        config = Config.fromfile(source)
    else:
        raise FileNotFoundError(f'there is no config {source}')
    if 'model' not in config:
        raise KeyError(f'{source} configures no model')
    return config.model


def load_strictly(model: nn.Module, state: dict[str, Tensor],
                  source: str) -> None:
    """Load weights that fit in names and shapes.

    Args:
        model (nn.Module): The model.
        state (dict): Its weights; names may have the prefix ``module.`` of a
            wrapped model.
        source (str): Where they are from, for the error.

    Raises:
        ValueError: If a weight is missing, left over or of another shape;
            tells the first ones.
    """
    if state and all(key.startswith('module.') for key in state):
        state = {key[len('module.'):]: value for key, value in state.items()}
    ours = {key: tuple(value.shape)
            for key, value in model.state_dict().items()}
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        theirs = {key: tuple(value.shape) for key, value in state.items()}
        differing = [key for key in {**ours, **theirs}
                     if ours.get(key) != theirs.get(key)]
        first = '\n'.join(
            f'  {key}: {theirs.get(key, "absent")} in the checkpoint, '
            f'{ours.get(key, "absent")} in the model'
            for key in differing[:5]) or f'  {error}'
        raise ValueError(
            f'{source} does not fit the {type(model).__name__} of its config: '
            f'{len(differing)} of its weights differ, first\n{first}\n'
            'A plain checkpoint of this very model is needed; '
            'tools/export_network.py takes one out of a checkpoint of '
            'PoseCons, PoseDual or FastPoseDistiller') from None


def load_teacher(source: str | dict, checkpoint: str) -> tuple[nn.Module, dict]:
    """Build a pose estimator that only predicts, and load its weights.

    Args:
        source (str or dict): As in :func:`model_config`.
        checkpoint (str): Path or URL of its checkpoint.

    Returns:
        tuple[nn.Module, dict]: The model in evaluation mode, without
        gradients, and what its checkpoint's ``meta`` holds.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the checkpoint does not fit, or the model has no head.
    """
    if not checkpoint:
        raise ValueError(
            'a teacher must be trained: name its checkpoint, '
            'teacher_checkpoint=…, or on the command line --cfg-options '
            'model.teacher_checkpoint=…')
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f'there is no checkpoint {checkpoint}, which teacher_checkpoint '
            'names. Train the teacher first or name another one: '
            '--cfg-options model.teacher_checkpoint=…')
    init_default_scope('mmpose')
    teacher = MODELS.build(model_config(source))
    if not getattr(teacher, 'with_head', False):
        raise ValueError('the teacher must be a pose estimator with a head, '
                         f'but it is a {type(teacher).__name__} without one')
    content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    load_strictly(teacher, content.get('state_dict', content), checkpoint)
    teacher.eval()
    teacher.requires_grad_(False)
    return teacher, content.get('meta') or {}


class FrozenTeacher(nn.Module):
    """A teacher that gives targets as a student's head gives outputs.

    It takes the student's images: they are normalized and sized as it was
    trained, and what it predicts is brought to the student's joints and sizes.

    Args:
        source (str or dict): As in :func:`model_config`.
        checkpoint (str): Path or URL of the teacher's checkpoint.
        student (nn.Module): The stock pose estimator that it teaches.
        preprocessor (nn.Module): The preprocessor of the student's images.
        keypoint_mapping (list[tuple[int, int]], optional): Joint of the
            teacher and joint of the student that are the same. Defaults to
            ``None``: both have the same joints.

    Attributes:
        network (nn.Module): The teacher, as its config builds it.
        meta (dict): Meta information of its checkpoint.
        digest (str): SHA-256 of its weights.

    Raises:
        FileNotFoundError: If there is no such config or checkpoint.
        ValueError: If the checkpoint does not fit, or if joints, codecs or
            aspect ratios of teacher and student differ.
    """

    def __init__(self, source: str | dict, checkpoint: str,
                 student: nn.Module, preprocessor: nn.Module,
                 keypoint_mapping: Sequence[tuple[int, int]] | None = None):
        super().__init__()
        self.network, self.meta = load_teacher(source, checkpoint)
        head = self.network.head
        self.outputs = keypoint_outputs(head, 'teacher', 'Distillation')
        self.inputs = InputMapping(
            preprocessor, self.network.data_preprocessor,
            student.head.decoder.input_size, head.decoder.input_size)
        self.targets = TargetMapping(
            keypoint_outputs(student.head, 'student', 'Distillation'),
            self.outputs, keypoint_mapping)
        self.digest = digest_of(self.network.state_dict())

    def train(self, mode: bool = True) -> 'FrozenTeacher':
        """Stay in evaluation mode, whatever the student's mode is."""
        return super().train(False)

    @property
    def gives_labels(self) -> bool:
        """As of :class:`TargetMapping`."""
        return self.targets.gives_labels

    @property
    def taught(self) -> Tensor | None:
        """As of :class:`TargetMapping`."""
        return self.targets.taught

    @torch.no_grad()
    def forward(self, images: Tensor) -> Output:
        """Predict what the student is to predict.

        Args:
            images (Tensor): The student's images, preprocessed, in shape
                [B, 3, H, W].

        Returns:
            Tensor or tuple[Tensor]: Heatmaps in shape [B, K, h, w], or
            labels or probabilities over x and over y in shapes [B, K, Wx] and
            [B, K, Wy], in at least float32.
        """
        output = self.network(self.inputs(images), None, mode='tensor')
        return self.targets(self.outputs.final(output))


def digest_of(state: dict[str, Tensor]) -> str:
    """SHA-256 of weights and their names."""
    digest = hashlib.sha256()
    for key, value in state.items():
        digest.update(key.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
