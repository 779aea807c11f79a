"""A clip: a video of rendered people who move, with their exact joints."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mmpose_wloss.apis.video_files import VideoWriter, written_whole

import numpy as np

from .body import JOINT_NAMES, Body, BodyModel, anny_version
from .camera import Camera
from .coco import write_json
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
        frames (int): Its length.
        size (int): Width and height, pixels: even, at least 64.
        fps (float): Frames per second.
        people (int): 1 or 2.
        yaw (float): How far bodies turn from facing the camera at most,
            degrees, 0 to 180.
        seed (int): Everything random comes from it. Not negative.

    Raises:
        ValueError: If a value is outside its range.
    """
    frames: int = 60
    size: int = 192
    fps: float = 25.
    people: int = 1
    yaw: float = 40.
    seed: int = 0

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f'a clip has at least 1 frame, got {self.frames}')
        if self.size < 64 or self.size % 2:
            raise ValueError(
                f'size must be even and at least 64, got {self.size}')
        if not 1 <= self.fps <= 240:
            raise ValueError(f'fps must be 1 to 240, got {self.fps}')
        if self.people not in (1, 2):
            raise ValueError(f'people must be 1 or 2, got {self.people}')
        if not 0 <= self.yaw <= 180:
            raise ValueError(f'yaw must be 0 to 180 degrees, got {self.yaw}')
        if self.seed < 0:
            raise ValueError(f'seed must not be negative, got {self.seed}')


class ClipFiles(NamedTuple):
    """What is written of a clip.

    Attributes:
        video (Path): The video.
        boxes (Path): The box of each person in each frame, JSON, as
            ``tools/video_demo.py`` reads it.
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
        parameters (ClipParameters | None): What it looks like. None takes the
            defaults.
        model (BodyModel | None): The body model, if it is loaded already.
        progress (bool): Show a progress bar on stderr.

    Returns:
        ClipFiles: The files.

    Raises:
        MissingAnnyError: If ``anny`` is not installed.
        OSError: If the folder cannot be written.
    """
    from tqdm import tqdm
    parameters = parameters or ClipParameters()
    anny_version()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    files = ClipFiles(out / 'clip.mp4', out / 'boxes.json',
                      out / 'joints.json')
    # as for the data set: writes nowhere but to its folder
    os.environ.setdefault('ANNY_CACHE_DIR', str(out.resolve() / 'cache'))
    with written_whole(*files) as partials:
        partial = ClipFiles(*partials)
        video = VideoWriter(str(partial.video), parameters.fps,
                            (parameters.size, parameters.size))
        boxes, joints = [], []
        for image, labels in tqdm(
                render_frames(model or BodyModel(), parameters),
                total=parameters.frames, unit='frame', disable=not progress):
            video.write(image)
            boxes.append([_corners(label.bbox) for label in labels])
            joints.append([np.round(label.keypoints, 2).tolist()
                           for label in labels])
        video.close()
        write_json(partial.boxes, boxes)
        write_json(partial.joints, dict(
            format=FORMAT_VERSION, video=files.video.name, fps=parameters.fps,
            width=parameters.size, height=parameters.size,
            joints=list(JOINT_NAMES), frames=joints))
    return files


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
    renderer = SceneRenderer(model, size, {}, parameters.yaw, occluders=0,
                             people=0)
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
        """Upright on the floor, turned about the vertical, in metres."""
        body = self.model.pose(
            self.shape, bone_rotations(pose, self.model.rest_bones))
        sine, cosine = np.sin(np.radians(yaw)), np.cos(np.radians(yaw))
        turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        vertices, joints = body.vertices @ turn.T, body.joints @ turn.T
        feet = np.array([0, 0, vertices[:, 2].min()])
        return Body(vertices - feet, joints - feet, body.flesh_depth)

    def at(self, time: float) -> Person:
        """The person at a time, in strides."""
        waves = np.sin(2 * np.pi * time / self.periods + self.phases)
        body = self._body(pose_at(self.poses, time), self.yaw * waves[0])
        aside = np.array([self.sway * self.height * waves[1], 0, 0])
        turn = self.camera.orientation(0)
        return Person(
            Body((body.vertices + aside) @ turn.T + self.shift,
                 (body.joints + aside) @ turn.T + self.shift,
                 body.flesh_depth),
            self.appearance, 'moving')


def _sample_adult(rng):
    return dict(
        gender=rng.random(), age=rng.uniform(0.6, 0.9),
        muscle=rng.uniform(0.3, 0.7), weight=rng.uniform(0.2, 0.7),
        height=rng.uniform(0.4, 0.6), proportions=rng.uniform(0.3, 0.7))


def _corners(box: list[float]) -> list[float]:
    left, top, width, height = box
    return [round(x, 2) for x in (left, top, left + width, top + height)]
