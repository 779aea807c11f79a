"""Small generated data sets in the layouts of COCO, MPII, LSP, WFLW and H36M."""

import gc
import json
import os
import pickle
import random
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from coco_people import PARTS

IMAGE = (96, 128)  # height and width
CAMERA = dict(f=[150., 150.], c=[64., 48.])
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


def pytest_configure() -> None:
    # before torch is imported: the tests share the cores between processes,
    # and those that they start inherit it
    os.environ['OMP_NUM_THREADS'] = '1'
    import mmpose_wloss  # noqa: F401  (stands in for what the stack lacks)
    format_configs_once()


def pytest_collection_finish() -> None:
    # a data set collects garbage when it is made, and the imported modules are
    # more to look through than all that tests make
    gc.freeze()


def format_configs_once() -> None:
    """Keep formatted configs: a training formats its own a dozen times.

    That takes longer than the steps of a short training.
    """
    import mmengine.config.config as module

    stock, known = module.FormatCode, {}

    def format_code(text, **style):
        if text not in known:
            known[text] = stock(text, **style)
        return known[text]

    module.FormatCode = format_code


def write_images(folder: Path, names: list, rng: np.random.Generator) -> None:
    import cv2

    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 255, (*IMAGE, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.GaussianBlur(image, (9, 9), 3))


def write_annotations(file: Path, names: list, annotations: list,
                      **of_images) -> None:
    """Write COCO's layout, of images whose ids count from 1."""
    common = dict(category_id=1, iscrowd=0, bbox=[25., 15., 80., 70.])
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(dict(
        images=[dict(of_images, id=index, file_name=name, height=IMAGE[0],
                     width=IMAGE[1]) for index, name in enumerate(names, 1)],
        annotations=[dict(common, id=index, image_id=index, **one)
                     for index, one in enumerate(annotations, 1)],
        categories=[dict(id=1, name='person', supercategory='person')])))


def random_joints(rng: np.random.Generator, count: int) -> np.ndarray:
    """Keypoints of one person inside the image, in shape [count, 2]."""
    return rng.uniform((30, 20), (100, 80), (count, 2)).round(1)


@pytest.fixture(autouse=True)
def the_same_random_numbers():
    """Whatever ran before, and on whichever process."""
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def nothing_of_other_runners():
    """Runners of one second share a visualizer; a killed one leaves its stage."""
    yield
    for module, kind in (('visualization', 'Visualizer'),
                         ('logging', 'MessageHub')):
        if f'mmengine.{module}' in sys.modules:
            getattr(sys.modules[f'mmengine.{module}'], kind
                    )._instance_dict.clear()


@pytest.fixture
def free_port() -> int:
    """A port of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.fixture(scope='session')
def coco_root(tmp_path_factory) -> Path:
    """A data root for the COCO configs: 6 images to train, 4 to validate."""
    root = tmp_path_factory.mktemp('coco')
    rng = np.random.default_rng(0)
    depth_rng = np.random.default_rng(4)
    part_rng = np.random.default_rng(6)
    for split, count in (('train2017', 6), ('val2017', 4)):
        names = [f'{index:012d}.jpg' for index in range(1, count + 1)]
        write_images(root / split, names, rng)
        annotations = []
        for index in range(1, count + 1):
            joints = random_joints(rng, 17)
            depths = depth_rng.uniform(3500, 4500, (17, 1))
            rays = (joints - CAMERA['c']) / CAMERA['f']
            visible = np.full((17, 1), 2.)
            visible[index % 17] = 0
            keypoints = np.where(visible > 0, joints, 0)
            annotations.append(dict(
                area=4000., num_keypoints=16, segmentation=[],
                keypoints=np.hstack([keypoints, visible]).ravel().tolist(),
                keypoints_3d=np.hstack([rays * depths, depths]).tolist(),
                # of the whole body
                **{part: np.hstack([random_joints(part_rng, number), np.full(
                    (number, 1), 2.)]).ravel().tolist()
                   for part, number in PARTS.items() if part != 'keypoints'}))
        write_annotations(
            root / f'annotations/person_keypoints_{split}.json', names,
            annotations, camera=CAMERA)
    return root


@pytest.fixture(scope='session')
def mpii_root(tmp_path_factory) -> Path:
    """A data root for the MPII configs: 6 images to train, 4 to validate."""
    from scipy.io import savemat

    root = tmp_path_factory.mktemp('mpii')
    rng = np.random.default_rng(1)
    (root / 'annotations').mkdir()
    names = [f'{index:09d}.jpg' for index in range(10)]
    write_images(root / 'images', names, rng)
    annotations = [
        dict(image=name, center=[64., 48.], scale=0.35,
             joints=random_joints(rng, 16).tolist(), joints_vis=[1] * 15 + [0])
        for name in names]
    for split, part in (('train', annotations[:6]), ('val', annotations[6:])):
        (root / f'annotations/mpii_{split}.json').write_text(json.dumps(part))
    heads = np.tile(np.array([[10., 10.], [30., 30.]])[..., None], 4)
    savemat(root / 'annotations/mpii_gt_val.mat', dict(
        headboxes_src=heads, jnt_missing=np.zeros((16, 4)),
        pos_gt_src=np.zeros((16, 2, 4)), dataset_joints=np.array([['nose']])))
    return root


@pytest.fixture(scope='session')
def lsp_root(tmp_path_factory) -> Path:
    """A data root for the LSP configs: 4 images, and 6 extended ones."""
    from scipy.io import savemat

    root = tmp_path_factory.mktemp('lsp')
    rng = np.random.default_rng(2)
    for folder, digits, count in (('lsp_dataset_original', 4, 4),
                                  ('lspet_dataset', 5, 6)):
        write_images(root / folder / 'images',
                     [f'im{number:0{digits}d}.jpg'
                      for number in range(1, count + 1)], rng)
        joints = np.stack([random_joints(rng, 14) for _ in range(count)])
        flags = np.zeros((count, 14, 1))
        flags[np.arange(count), np.arange(count)] = 1
        if count == 4:
            # 1 is occluded
            joints = np.dstack([joints, flags]).transpose(2, 1, 0)
        else:
            # 1 is annotated, and nothing stands for the others
            joints = np.where(flags == 1, [-7., 0.], joints)
            joints = np.dstack([joints, 1 - flags]).transpose(1, 2, 0)
        savemat(root / folder / 'joints.mat', dict(joints=joints))
    return root


@pytest.fixture(scope='session')
def lspet_root(tmp_path_factory) -> Path:
    """A data root for LSP-extended in COCO's layout: 6 images to train, 4 to test."""
    root = tmp_path_factory.mktemp('lspet')
    rng = np.random.default_rng(5)
    for split, names in (('train', [f'im{index:05d}.jpg' for index in range(1, 7)]),
                         ('test', [f'im{index:05d}.jpg' for index in range(7, 11)])):
        write_images(root / 'images', names, rng)
        annotations = []
        for index in range(len(names)):
            keypoints = np.hstack([random_joints(rng, 14), np.full((14, 1), 2.)])
            keypoints[index] = 0
            annotations.append(dict(area=4000., num_keypoints=13, segmentation=[],
                                    keypoints=keypoints.ravel().tolist()))
        write_annotations(root / f'lspet_{split}.json', names, annotations)
    return root


@pytest.fixture(scope='session')
def wflw_root(tmp_path_factory) -> Path:
    """A data root for the WFLW config: 6 images to train, 4 to validate."""
    root = tmp_path_factory.mktemp('wflw')
    rng = np.random.default_rng(3)
    names = [f'{index}.jpg' for index in range(10)]
    write_images(root / 'images', names, rng)
    for split, part in (('train', names[:6]), ('test', names[6:])):
        write_annotations(
            root / f'annotations/face_landmarks_wflw_{split}.json', part,
            [dict(center=[64., 48.], scale=0.4, num_keypoints=98,
                  keypoints=np.hstack([random_joints(rng, 98),
                                       np.ones((98, 1))]).ravel().tolist())
             for _ in part])
    return root


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
    folder = root / 'annotation_body3d' / 'fps50'
    folder.mkdir(parents=True)
    cameras = {}
    for split, annotation in splits.items():
        np.savez(folder / f'h36m_{split}.npz', **annotation)
        write_images(root / 'images', annotation['imgname'],
                     np.random.default_rng(0))
        for name in annotation['imgname']:
            subject, _, rest = Path(name).stem.partition('_')
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


@pytest.fixture(scope='session')
def roots(coco_root, mpii_root, lsp_root, lspet_root, wflw_root, h36m_root) -> dict:
    """The generated data sets by the type of their class, or by their folder."""
    return dict(CocoDataset=coco_root, MpiiDataset=mpii_root,
                LSPDataset=lsp_root, WFLWDataset=wflw_root, lspet=lspet_root,
                UnlabeledPoseDataset=coco_root, CocoStyle3DDataset=coco_root,
                CocoWholeBodyDataset=coco_root, Human36mImageDataset=h36m_root)


@pytest.fixture
def demo_configs(tmp_path, coco_root) -> dict:
    """The demo's configs, for two epochs on the generated data."""
    configs = Path(__file__).parents[1] / 'configs' / 'demo'

    def dataset(split):
        return dict(
            data_root=str(coco_root), data_prefix=dict(img=f'{split}2017/'),
            ann_file=f'annotations/person_keypoints_{split}2017.json')

    evaluator = [
        dict(type='CocoMetric', ann_file=str(
            coco_root / 'annotations' / 'person_keypoints_val2017.json')),
        dict(type='PCKAccuracy', thr=0.1)]
    files = {}
    for name in ('mse', 'fmse'):
        base = configs / f'resnet18_{name}_annypose.py'
        files[name] = tmp_path / f'{name}.py'
        files[name].write_text(f"""
_base_ = {str(base)!r}
train_cfg = dict(max_epochs=2, val_interval=1)
train_dataloader = dict(batch_size=2, dataset={dataset('train')!r})
val_dataloader = dict(dataset={dataset('val')!r})
test_dataloader = dict(dataset={dataset('val')!r})
val_evaluator = {evaluator!r}
test_evaluator = {evaluator!r}
default_hooks = dict(logger=dict(interval=1))
""")
    return files


@pytest.fixture(scope='session')
def pose3d_config(coco_root):
    """The demo's 3D config on generated data, without a flip test."""
    from mmengine.config import Config

    config = Config.fromfile(Path(__file__).parents[1] / 'configs' / 'demo' /
                             'integral3d_i1_d8_annypose.py')
    config.test_dataloader.dataset.update(
        data_root=str(coco_root), data_prefix=dict(img='val2017/'),
        ann_file='annotations/person_keypoints_val2017.json')
    config.model.test_cfg.flip_test = False
    return config


@pytest.fixture(scope='session')
def pose3d_checkpoint(pose3d_config, tmp_path_factory) -> str:
    """Random weights, as a training saves them."""
    import torch
    from mmengine.registry import DefaultScope
    from mmpose.registry import MODELS

    file = tmp_path_factory.mktemp('checkpoint') / 'epoch_1.pth'
    with DefaultScope.overwrite_default_scope('mmpose'), \
            torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS.build(pose3d_config.model)
        model.init_weights()
        # joints at different places
        for module in model.head.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                torch.nn.init.normal_(module.weight, std=0.5)
    torch.save(dict(meta=dict(), state_dict=model.state_dict()), file)
    return str(file)


@pytest.fixture(scope='session')
def inferencer(pose3d_config, pose3d_checkpoint):
    from mmpose_wloss.apis import Pose3DImageInferencer

    return Pose3DImageInferencer(pose3d_config, pose3d_checkpoint, 'cpu')


@pytest.fixture(scope='session')
def val_images(coco_root) -> list[str]:
    """Four images."""
    return sorted(str(file) for file in (coco_root / 'val2017').iterdir())
