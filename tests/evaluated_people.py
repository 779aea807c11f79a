"""People with predictions, as evaluators get them, and metrics of them."""

import copy
import json

import numpy as np
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.structures import PoseDataSample

META = {name: parse_pose_metainfo(
    dict(from_file=f'configs/_base_/datasets/{name}.py'))
    for name in ('coco', 'coco_wholebody', 'crowdpose', 'mpii')}
for meta in META.values():
    meta['CLASSES'] = [dict(id=1, name='person')]
COCO = dict(type='CocoMetric')
PCK = dict(type='PCKAccuracy', thr=0.1)


def person(number, density=50., error=5., image=None, visible=None, joints=17,
           **annotation):
    """A person with x of the first joint at ``density``, ``error`` % off."""
    rng = np.random.default_rng(number)
    keypoints = rng.uniform(0, 100, (1, joints, 2)).round(3)
    keypoints[0, 0, 0] = density
    shown = np.zeros((1, joints), np.float32)
    shown[:, :visible] = 1
    angle = rng.uniform(0, 2 * np.pi, (1, joints, 1))
    offset = np.concatenate([np.cos(angle), np.sin(angle)], 2) * error
    box = np.array([[0., 0., 100., 80.]])
    image = number if image is None else image
    flat = np.concatenate([keypoints[0], 2 * shown[0, :, None]], 1).ravel()
    sample = PoseDataSample(metainfo=dict(
        id=number, img_id=image, img_path=f'data/images/{image:03d}.jpg',
        ori_shape=(100, 120), category_id=np.array(1), raw_ann_info=dict(
            id=number, image_id=image, category_id=1, iscrowd=0, area=8000.,
            bbox=[0., 0., 100., 80.], num_keypoints=int(shown.sum()),
            keypoints=flat.tolist(), **annotation)))
    sample.gt_instances = InstanceData(
        keypoints=keypoints, keypoints_visible=shown, bboxes=box,
        bbox_scores=np.ones(1), bbox_scales=np.array([[125., 100.]]),
        head_size=np.full((1, 1), 20.))
    sample.pred_instances = InstanceData(
        keypoints=keypoints + offset, bboxes=box, bbox_scores=np.ones(1),
        keypoint_scores=rng.uniform(.3, 1, (1, joints)))
    return sample


def evaluate(metric, samples, meta='coco', batch=7):
    """Figures of an evaluator, or of the one of a metric's config."""
    evaluator = metric if isinstance(metric, Evaluator) else Evaluator(metric)
    evaluator.dataset_meta = copy.deepcopy(META[meta])
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start:start + batch])
    return evaluator.evaluate(len(samples))


def write_coco(path, samples, *extra):
    """Write annotations of the samples, and others like the first one."""
    annotations = [sample.raw_ann_info for sample in samples]
    annotations += [{**annotations[0], 'id': 1000 + number, **one}
                    for number, one in enumerate(extra)]
    images = sorted({one['image_id'] for one in annotations})
    path.write_text(json.dumps(dict(
        info={}, annotations=annotations, categories=META['coco']['CLASSES'],
        images=[dict(id=image, file_name=f'{image:03d}.jpg', width=120,
                     height=100) for image in images])))
    return str(path)


class FakeDensity:
    """The first joint's x is the log density; training poses have 0 to 99."""
    held_out = np.append(np.arange(100.), np.nan)
    scored = 0

    def check_joints(self, names, where):
        if len(names) != 17:
            raise ValueError(f'joints of {where}')

    def score(self, poses, visible, boxes=None, image_sizes=None):
        self.scored += 1
        return np.where(visible.sum(1) > 8, poses[:, 0, 0], np.nan)


def table_in(messages):
    """Cells of the only table that was logged, and the line below it."""
    text, = [text for text in messages if '|--' in text]
    lines = [line for line in text.splitlines() if line.startswith('|')]
    assert len(set(map(len, lines))) == 1
    cells = [[cell.strip() for cell in line.strip('|').split('|')]
             for line in lines]
    return cells, text.splitlines()[-1]
