"""Drawn desk lamps: an object with five keypoints that is no person.

A lamp's category has the number 7. Its shade has a left and a right end, which a
mirror swaps; base, elbow and neck have no other side.
"""

import json
from pathlib import Path

from mmpose_wloss.apis.video_files import VideoWriter

import cv2
import numpy as np

KEYPOINTS = ('base', 'elbow', 'neck', 'shade_left', 'shade_right')
SKELETON = [[1, 2], [2, 3], [3, 4], [3, 5], [4, 5]]
CATEGORY = dict(id=7, name='lamp', supercategory='furniture',
                keypoints=list(KEYPOINTS), skeleton=SKELETON)
SIZE = 160


def turned(angle: float) -> np.ndarray:
    """The direction of an angle in radians from above, clockwise."""
    return np.array([np.sin(angle), -np.cos(angle)])


def joints_of(base, length: float, angles) -> np.ndarray:
    """Keypoints of a lamp in pixels, [5, 2], by the angles of its three parts."""
    lower, upper, shade = map(turned, angles)
    elbow = base + length * lower
    neck = elbow + 0.8 * length * upper
    end = neck + 0.5 * length * shade
    # to the left, seen along the shade
    side = 0.3 * length * np.array([shade[1], -shade[0]])
    return np.array([base, elbow, neck, end + side, end - side])


def draw(image: np.ndarray, joints: np.ndarray, color) -> None:
    """Draw a lamp into an image."""
    length = np.linalg.norm(joints[1] - joints[0])
    places = joints.round().astype(int)
    width = max(2, round(length / 10))
    cv2.ellipse(image, places[0].tolist(), (round(length / 3), round(length / 8)),
                0, 0, 360, color, -1, cv2.LINE_AA)
    cv2.polylines(image, [places[:3]], False, color, width, cv2.LINE_AA)
    cv2.circle(image, places[1].tolist(), width, (40, 40, 40), -1, cv2.LINE_AA)
    cv2.fillConvexPoly(image, places[[2, 3, 4]], color, cv2.LINE_AA)
    cv2.line(image, *map(tuple, places[3:].tolist()), (120, 240, 255), width,
             cv2.LINE_AA)


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    coarse = rng.integers(60, 230, (5, 5, 3), np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def pose(rng: np.random.Generator) -> tuple:
    """Angles of a lamp: to either side, and one in ten upright."""
    side = rng.choice([-1, 1])
    if rng.uniform() < 0.1:
        return tuple(rng.normal([0, 0, 0], 0.15))
    return tuple(side * rng.normal([-0.5, 0.9, 2.6], [0.25, 0.3, 0.25]))


def lamp(rng: np.random.Generator, size: int = SIZE) -> tuple:
    """An image of a lamp and its keypoints."""
    image = background(rng, size)
    length = size * rng.uniform(0.3, 0.36)
    base = size * np.array([rng.uniform(0.42, 0.58), rng.uniform(0.8, 0.88)])
    joints = joints_of(base, length, pose(rng))
    draw(image, joints, rng.integers(20, 160, 3).tolist())
    return image, joints


def annotation(number: int, joints: np.ndarray, size: int = SIZE) -> dict:
    """What an annotation tool writes of a lamp."""
    low = (joints.min(0) - 12).clip(0)
    extent = (joints.max(0) + 12).clip(max=size - 1) - low
    visible = ((joints >= 0) & (joints < size)).all(1)
    points = np.column_stack([joints.round(1), 2 * visible]) * visible[:, None]
    return dict(
        id=number, image_id=number, category_id=CATEGORY['id'], iscrowd=0,
        keypoints=points.ravel().tolist(), num_keypoints=int(visible.sum()),
        bbox=[*low.round(1).tolist(), *extent.round(1).tolist()],
        area=float(extent.prod().round(1)))


def write_lamps(root: Path, train: int, val: int, unlabeled: int,
                frames: int = 0, seed: int = 0) -> None:
    """Write what docs/tutorial.md begins with: labels, images, a clip."""
    rng = np.random.default_rng(seed)
    for split, count in dict(train=train, val=val, unlabeled=unlabeled).items():
        (root / split).mkdir(parents=True)
        images, annotations = [], []
        for number in range(1, count + 1):
            image, joints = lamp(rng)
            name = f'{number:04}.jpg'
            cv2.imwrite(str(root / split / name), image)
            images.append(dict(id=number, file_name=name, width=SIZE, height=SIZE))
            annotations.append(annotation(number, joints))
        if split != 'unlabeled':
            file = root / 'annotations' / f'{split}.json'
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(dict(
                images=images, annotations=annotations, categories=[CATEGORY])))
    if frames:
        _write_clip(root / 'clip.mp4', rng, frames)


def _write_clip(file: Path, rng: np.random.Generator, frames: int) -> None:
    """A lamp that bends to the left and to the right."""
    scene, writer = background(rng, SIZE), VideoWriter(str(file), 12., (SIZE, SIZE))
    for time in np.linspace(0, 2 * np.pi, frames, endpoint=False):
        frame = scene.copy()
        draw(frame, joints_of((80, 135), 52, np.sin(time) * np.array(
            [-0.5, 1., 2.6])), (150, 60, 40))
        writer.write(frame)
    writer.close()
