"""The body: a thin wrapper around the parametric model `anny`."""

import importlib.metadata
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import MissingAnnyError

JOINT_NAMES = (
    'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder',
    'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist',
    'left_hip', 'right_hip', 'left_knee', 'right_knee', 'left_ankle',
    'right_ankle')

SKELETON = ((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12),
            (5, 6), (5, 7), (6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2),
            (1, 3), (2, 4), (3, 5), (4, 6))

PARTS = ('head', 'torso', 'left_upper_arm', 'right_upper_arm',
         'left_lower_arm', 'right_lower_arm', 'left_hand', 'right_hand',
         'left_upper_leg', 'right_upper_leg', 'left_lower_leg',
         'right_lower_leg', 'left_foot', 'right_foot')

# The parts whose surface counts as a joint's own flesh.
_FLESH_OF_JOINT = {
    'nose': ('head', ), 'eye': ('head', ), 'ear': ('head', ),
    'shoulder': ('torso', 'upper_arm'), 'elbow': ('upper_arm', 'lower_arm'),
    'wrist': ('lower_arm', 'hand'), 'hip': ('torso', 'upper_leg'),
    'knee': ('upper_leg', 'lower_leg'),
    'ankle': ('lower_leg', 'foot')}

_PART_OF_BONE = (('neck', 'head'), ('head', 'head'), ('eye', 'head'),
                 ('upperarm', 'upper_arm'), ('lowerarm', 'lower_arm'),
                 ('wrist', 'hand'), ('finger', 'hand'), ('metacarpal', 'hand'),
                 ('upperleg', 'upper_leg'), ('lowerleg', 'lower_leg'),
                 ('foot', 'foot'), ('toe', 'foot'))

# Surfaces within the head, as anny names them; nobody sees them.
_INSIDE = ('eye_back.L', 'eye_back.R', 'eye_cavity.L', 'eye_cavity.R',
           'mouth_cavity', 'tongue')


def anny_version() -> str:
    """Find the installed version of `anny`, e.g. ``'0.6.2'``; imports nothing.

    Raises:
        MissingAnnyError: If the package is not installed.
    """
    try:
        return importlib.metadata.version('anny')
    except importlib.metadata.PackageNotFoundError:
        raise MissingAnnyError(
            'rendering people needs the package "anny", which is not '
            'installed: pip install "anny>=0.6.2,<0.7"') from None


@dataclass(frozen=True)
class Body:
    """One posed body, in meters; x to its left, y backwards, z up.

    Attributes:
        vertices (np.ndarray): Surface points [V, 3].
        joints (np.ndarray): The 17 COCO joints [17, 3].
        flesh_depth (np.ndarray): How deep each joint lies under its own
            skin at most, seen from any side [17].
    """
    vertices: np.ndarray
    joints: np.ndarray
    flesh_depth: np.ndarray

    def moved(self, turn: np.ndarray | None = None,
              shift: np.ndarray | None = None) -> 'Body':
        """The body after a rotation [3, 3] and then a translation [3].

        A rotated one is rounded to 0.01 mm: the last bits of sums and products
        differ between processors, and what is seen of a joint hangs on them.
        """
        points = [self.vertices, self.joints]
        if turn is not None:
            points = [np.round(each @ turn.T, 5) for each in points]
        if shift is not None:
            points = [each + shift for each in points]
        return Body(*points, self.flesh_depth)


def keep_cache_in(folder: str | os.PathLike) -> None:
    """Let anny write nowhere but below a folder, unless ``ANNY_CACHE_DIR`` is set."""
    os.environ.setdefault('ANNY_CACHE_DIR', str(Path(folder).resolve() / 'cache'))


class BodyModel:
    """Turns a shape and a pose into a surface and 17 joints.

    Loading takes about half a second once `anny` has filled its cache (where
    ``ANNY_CACHE_DIR`` points, by default below ``~/.cache/anny``), and about
    a minute and 800 MB of disk the first time.

    Attributes:
        faces (np.ndarray): Triangles, seen from outside counter-clockwise [F, 3].
        face_part (np.ndarray): Index into :data:`PARTS` of each face [F].
        face_is_eye (np.ndarray): Which faces are eyeballs, bool [F].
        rest_vertices (np.ndarray): The average body at rest, meters [V, 3].
        vertex_part (np.ndarray): Index into :data:`PARTS` of each vertex [V].
        arm_position (np.ndarray): Where a vertex lies along its arm: 0 at the
            shoulder, 1 at the wrist, -1 off the arms [V].
        leg_position (np.ndarray): The same from hip (0) to ankle (1) [V].
        bone_labels (list[str]): The names that a pose may rotate.
        rest_bones (dict[str, np.ndarray]): Each bone's head at rest [3].
    """

    def __init__(self) -> None:
        anny_version()
        import anny
        import torch
        from anny.face_segmentation import get_face_segmentation_mask
        self._torch = torch
        # 'lbs' runs in torch; the default compiles kernels at first use.
        # 'original' shapes: their compaction takes a minute to compute.
        with warnings.catch_warnings():
            # torch 2.1 warns of itself when it reads tensors from a file
            warnings.filterwarnings('ignore', 'TypedStorage is deprecated')
            model = anny.Anny(phenotype_blendshapes='original', skinning_method='lbs')
            self._regressor = anny.KeypointsRegressor.coco(
                model, labels=list(JOINT_NAMES)).double()
        # in float64, whose rounding no label shows
        self._model = model.double()
        self.bone_labels = list(model.bone_labels)
        inside = get_face_segmentation_mask(model, _INSIDE)
        self.faces = model.faces[~inside].numpy()
        with torch.inference_mode():
            rest = self._model()
        vertices = rest['vertices'][0].numpy()
        heads = rest['bone_poses'][0, :, :3, 3].numpy()
        self.rest_bones = dict(zip(self.bone_labels, heads, strict=True))
        self.rest_vertices = vertices

        strongest = model.vertex_bone_weights.argmax(dim=1, keepdim=True)
        bones = model.vertex_bone_indices.gather(1, strongest)[:, 0].numpy()
        part_of_bone = np.array([_part_index(x) for x in self.bone_labels])
        self.vertex_part = part_of_bone[bones]
        self.face_part = self.vertex_part[self.faces[:, 0]]
        eyes = [i for i, x in enumerate(self.bone_labels) if x[:3] == 'eye']
        self.face_is_eye = np.isin(bones[self.faces], eyes).all(axis=1)

        self.arm_position = self._limb_position(
            'arm', ('upperarm01', 'lowerarm01', 'wrist'))
        self.leg_position = self._limb_position(
            'leg', ('upperleg01', 'lowerleg01', 'foot'))
        self._own_flesh = np.array([[_is_flesh_of(part, joint)
                                     for part in PARTS]
                                    for joint in JOINT_NAMES])
        outside = np.unique(self.faces)
        self._flesh_vertices = [
            outside[flesh[self.vertex_part[outside]]]
            for flesh in self._own_flesh
        ]

    def _limb_position(self, limb: str, bones: tuple[str, ...]) -> np.ndarray:
        position = np.full(len(self.rest_vertices), -1, np.float32)
        for side in ('left', 'right'):
            points = [self.rest_bones[f'{b}.{side[0].upper()}'] for b in bones]
            end = dict(arm='hand', leg='foot')[limb]
            parts = [i for i, part in enumerate(PARTS)
                     if part.startswith(side) and (limb in part or end in part)]
            chosen = np.isin(self.vertex_part, parts)
            position[chosen] = _along(self.rest_vertices[chosen], points)
        return position

    def own_flesh(self, joint: int, part: int) -> bool:
        """Whether a part of :data:`PARTS` is the flesh around a COCO joint.

        An elbow's is either half of its own arm, for example.
        """
        return bool(self._own_flesh[joint, part])

    def pose(self, shape: dict[str, float], rotations: dict[str, np.ndarray]) -> Body:
        """Pose one body.

        Bodies are computed one at a time on purpose: in a batch the last bits
        of a result depend on its neighbors, and with them whole images.

        Args:
            shape (dict[str, float]): Values of 0 to 1 for gender, age,
                muscle, weight, height and proportions.
            rotations (dict[str, np.ndarray]): Rotation [3, 3] of each bone
                that moves, about the axes of the body at rest (x to its left,
                y backwards, z up), carried along by the bone's parents.

        Returns:
            Body: The posed surface and joints.
        """
        torch = self._torch
        deltas = np.tile(np.eye(4), (1, len(self.bone_labels), 1, 1))
        for bone, rotation in rotations.items():
            deltas[0, self.bone_labels.index(bone), :3, :3] = rotation
        with torch.inference_mode():
            output = self._model(
                pose_parameters=torch.from_numpy(deltas),
                phenotype_kwargs=shape)
            joints = self._regressor(output)[0].numpy()
            # At rest: posed skin folds towards a joint on its inner side.
            rest_vertices = output['rest_vertices']
            rest_joints = self._regressor(dict(vertices=rest_vertices))
        depth = self._flesh_depth(rest_vertices[0].numpy(), rest_joints[0].numpy())
        return Body(output['vertices'][0].numpy(), joints, depth)

    def _flesh_depth(self, vertices, joints):
        """Scale the way out of the flesh: it is shortest at the nearest skin.

        From the other sides the way is longer, a limb is no sphere: up to
        twice as long (hip from behind, wrist across the palm), and 30 mm more
        where the shortest is only millimeters (eye or ear from the side). That
        is less than the way through a head (80 mm or more from one eye, ear or
        the nose to the other side) or through a torso.
        """
        depths = []
        for joint, skin in zip(joints, self._flesh_vertices, strict=True):
            away = ((vertices[skin] - joint)**2).sum(axis=1)
            depths.append(2 * np.sqrt(away.min()) + 0.03)
        return np.array(depths, np.float32)


def _along(points, chain):
    """Position along a two-segment chain, each segment counted as a half."""
    start, middle, end = chain
    first = (points - start) @ (middle - start) / ((middle - start)**2).sum()
    second = (points - middle) @ (end - middle) / ((end - middle)**2).sum()
    return np.where(second > 0, 0.5 + 0.5 * second, 0.5 * np.clip(first, 0, 1))


def _part_index(bone: str) -> int:
    for prefix, part in _PART_OF_BONE:
        if bone.startswith(prefix):
            if part == 'head':
                return PARTS.index(part)
            side = 'left_' if bone.endswith('.L') else 'right_'
            return PARTS.index(side + part)
    return PARTS.index('torso')


def _is_flesh_of(part: str, joint: str) -> bool:
    side, _, kind = joint.rpartition('_')
    names = _FLESH_OF_JOINT[kind]
    return part in names or part in [f'{side}_{name}' for name in names]
