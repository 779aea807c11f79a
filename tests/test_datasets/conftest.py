import pickle
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope

# distorts as Human3.6M's do
LENS = dict(
    f=np.array([[150.], [149.]]), c=np.array([[64.], [48.]]),
    k=np.array([[-0.2], [0.25], [-0.003]]), p=np.array([[-0.0014], [-0.001]]),
    R=np.eye(3), T=np.zeros((3, 1)), w=128, h=96)
HIPS = [[0, 0, 0], [-.13, 0, 0], [-.15, .44, .02], [-.15, .88, .05],
        [.13, 0, 0], [.15, .44, -.02], [.15, .88, .05]]
TRUNK = [[0, -.25, .02], [0, -.5, 0], [0, -.6, -.02], [0, -.72, 0]]
ARMS = [[.17, -.48, 0], [.2, -.2, .1], [.22, .02, -.05],
        [-.17, -.48, 0], [-.2, -.2, -.1], [-.22, .02, .15]]
VIDEOS = [('S1', 'Directions_1', '54138969', 6),
          ('S5', 'SittingDown', '54138969', 3),
          ('S9', 'Greeting', '55011271', 3),
          ('S11', 'WalkDog_1', '55011271', 2)]


@pytest.fixture(autouse=True)
def mmpose_scope():
    """Find transforms by their names, as a runner does."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        yield


def see_as_human36m(points: np.ndarray, camera: dict) -> np.ndarray:
    """Pixels of points as the camera model of Human3.6M defines them."""
    k, p, f, c = (camera[key].ravel() for key in 'kpfc')
    x, y = np.moveaxis(points[..., :2] / points[..., 2:], -1, 0)
    square = x**2 + y**2
    factor = (1 + k[0] * square + k[1] * square**2 + k[2] * square**3 +
              p[0] * y + p[1] * x)
    return np.stack([x * factor + p[1] * square,
                     y * factor + p[0] * square], -1) * f + c


def human36m_annotation(videos: list, seed: int = 0) -> dict:
    """Arrays as MMPose's preprocess_h36m.py writes them, of random poses.

    Args:
        videos (list[tuple]): Subject, action, camera and number of frames.
        seed (int): Of the poses.
    """
    rng = np.random.default_rng(seed)
    names = [
        f'{subject}/{subject}_{action}.{camera}/'
        f'{subject}_{action}.{camera}_{frame:06d}.jpg'
        for subject, action, camera, frames in videos
        for frame in range(1, frames + 1)]
    poses = np.array([*HIPS, *TRUNK, *ARMS])
    places = rng.uniform((-.6, -.4, 4.5), (.6, .4, 5.5), (len(names), 1, 3))
    poses = poses + places + rng.normal(0, 0.03, (len(names), 17, 3))
    pixels = see_as_human36m(poses, LENS)
    ones = np.ones((len(names), 17, 1))
    low, high = pixels.min(1), pixels.max(1)
    return dict(imgname=np.array(names), center=(low + high) / 2,
                scale=1.2 * (high - low).max(1) / 200,
                part=np.concatenate([pixels, ones], 2),
                S=np.concatenate([poses, ones], 2))


def write_human36m(root: Path, **splits: dict) -> None:
    """Write annotations, cameras and images in MMPose's layout."""
    import cv2

    folder = root / 'annotation_body3d' / 'fps50'
    folder.mkdir(parents=True)
    cameras = {}
    rng = np.random.default_rng(0)
    for split, annotation in splits.items():
        np.savez(folder / f'h36m_{split}.npz', **annotation)
        for name in annotation['imgname']:
            path = root / 'images' / str(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rng.integers(0, 255, (96, 128, 3), np.uint8))
            subject, _, rest = path.stem.partition('_')
            cameras[subject, rest.split('.')[1].split('_')[0]] = LENS
    with open(folder.parent / 'cameras.pkl', 'wb') as file:
        pickle.dump(cameras, file)


@pytest.fixture(scope='session')
def h36m_root(tmp_path_factory) -> Path:
    """A data root for Human3.6M: 9 images to train, 5 to test."""
    root = tmp_path_factory.mktemp('h36m')
    write_human36m(root, train=human36m_annotation(VIDEOS[:2]),
                   test=human36m_annotation(VIDEOS[2:], seed=1))
    return root


@pytest.fixture
def h36m_annotation() -> dict:
    """Arrays of two videos, of 6 and of 3 frames."""
    return human36m_annotation(VIDEOS[:2])


@pytest.fixture
def write_h36m(tmp_path):
    """Writes arrays as an annotation of training, and gives its root."""
    def write(annotation: dict) -> Path:
        write_human36m(tmp_path, train=annotation)
        return tmp_path
    return write
