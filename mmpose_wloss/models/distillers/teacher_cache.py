import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmpose.utils.typing import SampleList
from torch import Tensor, nn

from ...structures.teacher_cache import TeacherCacheError, read_index
from ..pose_estimators.keypoint_outputs import KeypointOutputs, Output
from .frozen_teacher import model_config
from .target_mapping import target_shapes

# what the targets depend on, by the names that errors call them
INPUTS = dict(checkpoint="the teacher's checkpoint",
              config="the teacher's config",
              codec="the student's codec or joints")


def config_digest(config) -> str:
    """Digest of what a config says, whatever the order of its keys."""
    if isinstance(config, (Config, ConfigDict)):
        config = config.to_dict()
    return hashlib.blake2b(
        json.dumps(config, sort_keys=True, default=str).encode(),
        digest_size=16).hexdigest()


def file_digest(path: str) -> str:
    """Digest of a file's content; of a URL, which is read once, its name."""
    if '://' in str(path):
        return hashlib.blake2b(str(path).encode(), digest_size=16).hexdigest()
    digest = hashlib.blake2b(digest_size=16)
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def codec_content(codec) -> dict:
    """What a codec was built with, as far as JSON can say it."""
    content = dict(type=type(codec).__name__)
    for name, value in vars(codec).items():
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, (bool, int, float, str, tuple, list)):
            content[name] = value
    return content


def cache_inputs(teacher: str | dict, checkpoint: str,
                 student: KeypointOutputs,
                 keypoint_mapping: Sequence[tuple[int, int]] | None = None
                 ) -> dict[str, str]:
    """Digests of all that decides what the teacher makes of an image.

    Args:
        teacher (str or dict): Its config, as of ``FastPoseDistiller``.
        checkpoint (str): Path or URL of its checkpoint.
        student (KeypointOutputs): Reads the outputs of the student's head.
        keypoint_mapping (list[tuple[int, int]], optional): As of
            ``FastPoseDistiller``.

    Returns:
        dict[str, str]: A digest under each key of :data:`INPUTS`.

    Raises:
        FileNotFoundError: If there is no such checkpoint or config.
    """
    if not checkpoint or ('://' not in checkpoint
                          and not Path(checkpoint).is_file()):
        raise FileNotFoundError(
            f'there is no checkpoint {checkpoint}, which teacher_checkpoint '
            'names. It must be there even where cached targets stand for the '
            'teacher: it is compared with the one that they are of')
    return dict(
        checkpoint=file_digest(checkpoint),
        config=config_digest(model_config(teacher)),
        codec=config_digest(dict(
            codec=codec_content(student.decoder),
            shapes=target_shapes(student), mapping=keypoint_mapping)))


def check_teacher_cache(folder: str, teacher: str | dict, checkpoint: str,
                        student: KeypointOutputs,
                        keypoint_mapping: Sequence[tuple[int, int]] | None
                        = None) -> dict:
    """Check that a cache is of this teacher, for this student.

    Args:
        folder (str): The cache.
        teacher (str or dict): As of :func:`cache_inputs`, like the others.
        checkpoint (str): Path or URL of the teacher's checkpoint.
        student (KeypointOutputs): Reads the outputs of the student's head.
        keypoint_mapping (list[tuple[int, int]], optional): Joints that are
            the same.

    Returns:
        dict: The cache's index, as of :func:`read_index`.

    Raises:
        TeacherCacheError: If it is incomplete or of others.
        FileNotFoundError: If there is no such checkpoint or config.
    """
    index = read_index(folder)
    ours = cache_inputs(teacher, checkpoint, student, keypoint_mapping)
    differing = [what for key, what in INPUTS.items()
                 if index['inputs'].get(key) != ours[key]]
    if differing:
        raise TeacherCacheError(
            f'the targets in {folder} are of others: {" and ".join(differing)} '
            'differ from those of this training. Write them again into '
            'another folder: python tools/cache_teacher.py CONFIG --out DIR')
    if not index['complete']:
        raise TeacherCacheError(
            f'the cache {folder} is not complete: it has '
            f'{sum(index["shards"])} of {index["samples"]} samples. Call '
            'tools/cache_teacher.py again with the same arguments; it goes on '
            'where it was interrupted')
    return index


class CachedTeacher(nn.Module):
    """Stands for a teacher of which there are targets on disk.

    The samples bring them, see :class:`LoadTeacherTargets`; no teacher is
    built.

    Args:
        folder (str): The cache.
        source (str or dict): As of :class:`FrozenTeacher`.
        checkpoint (str): Path or URL of the teacher's checkpoint.
        student (KeypointOutputs): Reads the outputs of the student's head.
        keypoint_mapping (list[tuple[int, int]], optional): As of
            :class:`FrozenTeacher`.

    Attributes:
        digest (str): SHA-256 of the teacher's weights.
        gives_labels (bool): As of :class:`TargetMapping`.
        meta (dict): With the names of the teacher's joints, as far as its
            checkpoint has them.
        taught (Tensor or None): As of :class:`TargetMapping`.

    Raises:
        TeacherCacheError: If it is incomplete or of others.
        FileNotFoundError: If there is no such checkpoint or config.
    """

    def __init__(self, folder: str, source: str | dict, checkpoint: str,
                 student: KeypointOutputs,
                 keypoint_mapping: Sequence[tuple[int, int]] | None = None):
        super().__init__()
        index = check_teacher_cache(
            folder, source, checkpoint, student, keypoint_mapping)
        self.folder = folder
        self.digest = index['teacher_digest']
        self.gives_labels = index['gives_labels']
        self.meta = dict(dataset_meta=dict(keypoint_id2name={
            int(joint): name
            for joint, name in index['keypoint_names'].items()}))
        self.shapes = target_shapes(student)
        taught = index['taught']
        self.register_buffer(
            'taught', None if taught is None else torch.tensor(taught),
            persistent=False)

    def forward(self, data_samples: SampleList) -> Output:
        """The targets that samples bring.

        Args:
            data_samples (list[:obj:`PoseDataSample`]): With
                ``gt_instance_labels.teacher_targets`` in shape [1, K, N].

        Returns:
            Tensor or tuple[Tensor]: As of :class:`FrozenTeacher`, in float32.

        Raises:
            KeyError: If samples bring none.
            ValueError: If they bring those of another student.
        """
        lacking = [sample.metainfo.get('img_path') for sample in data_samples
                   if 'teacher_targets' not in sample.gt_instance_labels]
        if lacking:
            raise KeyError(
                f'teacher_cache is {self.folder}, but the sample of '
                f'{lacking[0]} brings no targets. Put '
                f"dict(type='LoadTeacherTargets', cache={self.folder!r}) "
                'before the packer of the pipeline, and pack with '
                'PackSemiSupervisedPoseInputs')
        targets = torch.cat([sample.gt_instance_labels.teacher_targets
                             for sample in data_samples]).float()
        return split_targets(targets, self.shapes)


def split_targets(targets: Tensor, shapes: tuple) -> Output:
    """Targets as a head gives its output.

    Args:
        targets (Tensor): In shape [B, K, N].
        shapes (tuple): As of :func:`target_shapes`.

    Returns:
        Tensor or tuple[Tensor]: Heatmaps in shape [B, K, h, w], or
        distributions in shapes [B, K, Wx] and [B, K, Wy].

    Raises:
        ValueError: If these are targets of other shapes.
    """
    sizes = [int(np.prod(shape[1:])) for shape in shapes]
    if targets.shape[1:] != (shapes[0][0], sum(sizes)):
        raise ValueError(
            f'the samples bring {targets.shape[1]} joints of '
            f'{targets.shape[2]} bins each, but the student has '
            f'{shapes[0][0]} of {sum(sizes)}: LoadTeacherTargets and '
            'teacher_cache name other caches')
    if len(sizes) == 1:
        return targets.reshape(len(targets), *shapes[0])
    return tuple(targets.split(sizes, dim=2))


def joined_targets(output: Output) -> Tensor:
    """The reverse of :func:`split_targets`."""
    parts = [output] if isinstance(output, Tensor) else output
    return torch.cat([part.flatten(2) for part in parts], dim=2)
