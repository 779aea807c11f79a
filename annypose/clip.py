"""A clip: a video of rendered people who move, with their exact joints."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from .body import JOINT_NAMES, BodyModel, anny_version, keep_cache_in
from .camera import Camera
from .coco import write_json
from .errors import RenderError, check_range
from .motion import pose_at, sample_key_poses
from .poses import bone_rotations
from .scene import Person, PersonLabel, SceneRenderer

FORMAT_VERSION = 1
# seconds from one pose to the next
STRIDE = 0.8


@dataclass(frozen=True)
class ClipParameters:
    """What a clip looks like.

    Args:
        frames (int): Its length, at least 1.
        size (int): Width and height, pixels: even, at least 64.
        fps (float): Frames per second, 1 to 240.
        people (int): 1 or 2.
        yaw (float): Largest turn from facing the camera, degrees, 0 to 180.
        seed (int): Everything random comes from it. Not negative.

    Raises:
        RenderError: If a value is outside its range.
    """
    frames: int = 60
    size: int = 192
    fps: float = 25.
    people: int = 1
    yaw: float = 40.
    seed: int = 0

    def __post_init__(self) -> None:
        check_range(1, np.inf, frames=self.frames)
        check_range(64, np.inf, size=self.size)
        check_range(1, 240, fps=self.fps)
        check_range(1, 2, people=self.people)
        check_range(0, 180, yaw=self.yaw)
        check_range(0, np.inf, seed=self.seed)
        if self.size % 2:
            raise RenderError(f'size must be even, got {self.size}')


class ClipFiles(NamedTuple):
    """What is written of a clip.

    Attributes:
        video (Path): The video.
        boxes (Path): The box of each person in each frame, JSON, as
            ``mmpose_wloss video`` reads it.
        joints (Path): The joints, JSON.
    """
    video: Path
    boxes: Path
    joints: Path


def render_clip(out: str | os.PathLike,
                parameters: ClipParameters | None = None,
                model: BodyModel | None = None,
                progress: bool = True) -> ClipFiles:
    """Render a video of people who move, and write down where their joints are.

    Args:
        out (str | os.PathLike): Folder for ``clip.mp4``, ``boxes.json`` and
            ``joints.json``. If it fails, old files stay whole.
        parameters (ClipParameters | None): None takes the defaults.
        model (BodyModel | None): The body model, if it is loaded already.
        progress (bool): Show a progress bar on stderr.

    Returns:
        ClipFiles: The files.

    Raises:
        MissingAnnyError: If ``anny`` is not installed.
        OSError: If the folder or the video cannot be written.
    """
    from tqdm import tqdm
    parameters = parameters or ClipParameters()
    anny_version()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    keep_cache_in(out)
    with tempfile.TemporaryDirectory(prefix='.', dir=out) as folder:
        names = ClipFiles('clip.mp4', 'boxes.json', 'joints.json')
        partial = ClipFiles(*(Path(folder, name) for name in names))
        video = cv2.VideoWriter(
            str(partial.video), cv2.VideoWriter_fourcc(*'mp4v'),
            parameters.fps, (parameters.size, parameters.size))
        boxes, joints = [], []
        for image, labels in tqdm(
                render_frames(model or BodyModel(), parameters),
                total=parameters.frames, unit='frame', disable=not progress):
            video.write(image)
            boxes.append([_corners(label.bbox) for label in labels])
            joints.append([np.round(label.keypoints, 2).tolist() for label in labels])
        video.release()
        written = cv2.VideoCapture(str(partial.video)).get(cv2.CAP_PROP_FRAME_COUNT)
        if written < parameters.frames:  # of which OpenCV says nothing
            raise OSError(f'{out} got {max(written, 0):.0f} of '
                          f'{parameters.frames} frames: is the disk full?')
        write_json(partial.boxes, boxes)
        write_json(partial.joints, dict(
            format=FORMAT_VERSION, video=names.video, fps=parameters.fps,
            width=parameters.size, height=parameters.size,
            joints=list(JOINT_NAMES), frames=joints))
        return ClipFiles(*(file.replace(out / file.name) for file in partial))


def render_frames(model: BodyModel, parameters: ClipParameters
                  ) -> Iterator[tuple[np.ndarray, list[PersonLabel]]]:
    """Render a clip frame by frame.

    The camera, the light, and what is behind the people stay as they are.

    Args:
        model (BodyModel): The body model.
        parameters (ClipParameters): What it looks like.

    Yields:
        tuple[np.ndarray, list[PersonLabel]]: A frame, BGR uint8
        [size, size, 3], and a label of each person.
    """
    rng = np.random.default_rng(parameters.seed)
    size, count = parameters.size, parameters.people
    renderer = SceneRenderer(model, size, {}, parameters.yaw, occluders=0, people=0)
    camera = replace(Camera.sample(rng, size), focal=2. * size, roll=0.,
                     pitch=rng.uniform(0, 8))
    centers = ([0.5], [0.28, 0.72])[count - 1]
    people = [_MovingPerson(rng, renderer, camera, parameters, center)
              for center in centers]
    scene = int(rng.integers(2**32))
    for number in range(parameters.frames):
        time = number / (parameters.fps * STRIDE)
        # the same surroundings each time
        image, _, labels = renderer.render_people(
            np.random.default_rng(scene), camera,
            [person.at(time) for person in people])
        yield image, labels


class _MovingPerson:
    """A person who goes through poses, turns a little and walks about."""

    def __init__(self, rng, renderer, camera, parameters, center) -> None:
        self.model, self.camera = renderer.model, camera
        strides = parameters.frames / (parameters.fps * STRIDE)
        self.poses = sample_key_poses(rng, int(np.ceil(strides)) + 1)
        self.shape = _sample_adult(rng)
        self.appearance = renderer.wardrobe.dress(rng)
        # slow waves of their own, in strides
        self.yaw = parameters.yaw * rng.uniform(0.5, 1)
        self.periods = rng.uniform(5, 9, 2)
        self.phases = rng.uniform(0, 2 * np.pi, 2)
        self.sway = 0.15 if parameters.people == 1 else 0.05
        upright = self._body(self.poses[0], 0.)
        self.height = np.ptp(upright.vertices[:, 2])
        # raised arms and a step aside fit in as well
        extent = (0.66 if parameters.people == 1 else 0.6) * parameters.size
        turned = upright.vertices @ camera.orientation(0).T
        self.shift = camera.place(
            turned, (center * parameters.size, 0.56 * parameters.size), extent)

    def _body(self, pose, yaw):
        """Upright on the floor, turned about the vertical, in meters."""
        body = self.model.pose(self.shape, bone_rotations(pose, self.model.rest_bones))
        sine, cosine = np.sin(np.radians(yaw)), np.cos(np.radians(yaw))
        turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        body = body.moved(turn)
        return body.moved(shift=-np.array([0, 0, body.vertices[:, 2].min()]))

    def at(self, time: float) -> Person:
        """The person at a time, in strides."""
        waves = np.sin(2 * np.pi * time / self.periods + self.phases)
        body = self._body(pose_at(self.poses, time), self.yaw * waves[0])
        aside = np.array([self.sway * self.height * waves[1], 0, 0])
        body = body.moved(shift=aside).moved(self.camera.orientation(0), self.shift)
        return Person(body, self.appearance, 'moving')


def _sample_adult(rng):
    return dict(
        gender=rng.random(), age=rng.uniform(0.6, 0.9),
        muscle=rng.uniform(0.3, 0.7), weight=rng.uniform(0.2, 0.7),
        height=rng.uniform(0.4, 0.6), proportions=rng.uniform(0.3, 0.7))


def _corners(box: list[float]) -> list[float]:
    left, top, width, height = box
    return [round(x, 2) for x in (left, top, left + width, top + height)]
