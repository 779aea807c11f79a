"""The recipes of fast pose distillation hold the original code's numbers.

yuanyuanli85/Fast_Human_Pose_Estimation_Pytorch (c76bf0b): example/mpii.py,
example/mpii_kd.py, pose/datasets/mpii.py and pose/utils/.
"""

import json
from functools import cache
from pathlib import Path

from mmpose_wloss.common.config_text import without_scope
from mmpose_wloss.common.configs import components_of_class

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS, TRANSFORMS
from PIL import Image

CONFIGS = Path(__file__).parents[2] / 'configs'
# stacks of the network that learns, whether it is mobile, and of its teacher
NETWORKS = {
    'hourglass_s8': (8, False, None),
    'hourglass_s2': (2, False, None),
    'hourglass_mobile_s2': (2, True, None),
    'hourglass_mobile_s2_fpd': (2, True, 8),
    'hourglass_mobile_s2_fpd_unlabeled': (2, True, 8),
    'hourglass_mobile_s2_fpd_unlabeled_squeeze': (2, True, 8),
}
recipes = pytest.mark.parametrize('name', NETWORKS)
# of the colors from 0 to 1, RGB
MEAN = [0.4404, 0.4440, 0.4327]
COLORS = dict(type='RandomChannelGain', gain=(0.8, 1.2))
FLIP = dict(type='RandomFlip', direction='horizontal')


@cache
def load(name: str) -> Config:
    return Config.fromfile(CONFIGS / f'{name}_mpii.py')


@recipes
def test_schedules(name):
    config = load(name)
    assert config.optim_wrapper.optimizer.type == 'RMSprop'
    # of PyTorch's arguments it gives what are the defaults
    assert config.optim_wrapper.optimizer.keys() - {'_scope_'} == {'type', 'lr'}
    assert config.optim_wrapper.optimizer.lr == 2.5e-4
    assert config.train_cfg.max_epochs == 90 and config.train_cfg.by_epoch
    # times 0.1 before epochs 60 and 90, counted from 0, of which the last is 89
    assert [without_scope(each) for each in config.param_scheduler] == [dict(
        type='MultiStepLR', begin=0, end=90, milestones=[60], gamma=0.1,
        by_epoch=True)]
    assert config.train_dataloader.batch_size == 6
    # labeled and unlabeled images are shuffled together
    assert config.train_dataloader.sampler.type == 'DefaultSampler'
    assert config.train_dataloader.sampler.shuffle


@recipes
def test_networks_and_losses(name):
    stacks, mobile, teacher = NETWORKS[name]
    model = load(name).model
    if teacher:
        assert model.alpha == 0.5
        assert model.get('unlabeled_weight', 1.) == 1.
        assert model.teacher.backbone.num_stacks == teacher
        assert not model.teacher.backbone.get('mobile', False)
        assert model.get('criterion') is None
        model = model.student
    init_default_scope('mmpose')
    with torch.device('meta'):
        backbone = MODELS.build(model.backbone)
        head = MODELS.build(model.head)
    assert len(backbone.hourglasses) == head.num_stages == stacks
    parameters = {8: 25_594_624, 2: 2_305_504 if mobile else 6_730_912}[stacks]
    assert sum(each.numel() for each in backbone.parameters()) == parameters
    assert type(head.loss_module).__name__ == 'KeypointMSELoss'
    assert head.loss_module.loss_weight == 1.
    assert np.allclose(model.data_preprocessor.mean, np.multiply(255, MEAN))
    assert model.data_preprocessor.std == [255] * 3
    assert model.data_preprocessor.bgr_to_rgb
    assert not model.test_cfg.flip_test and not model.test_cfg.shift_heatmap


@recipes
def test_labels_and_augmentation(name):
    dataset = load(name).train_dataloader.dataset
    datasets = dataset.get('datasets', [dataset])
    steps = [without_scope(step) for step in datasets[0].pipeline]
    assert steps[:7] == [
        dict(type='LoadImage'), dict(type='GetBBoxCenterScale'), FLIP,
        # its rotate_factor is two deviations of 30; with 0.6 of them
        dict(type='ClippedBBoxTransform', shift_prob=0., scale_factor=(0.75, 1.25),
             rotate_factor=60.),
        dict(type='TopdownAffine', input_size=(256, 256)), COLORS,
        dict(type='GenerateTarget', encoder=dict(
            type='HourglassHeatmap', input_size=(256, 256), heatmap_size=(64, 64),
            sigma=1., teach_absent=True))]
    if len(datasets) > 1:
        assert datasets[1].type == 'UnlabeledPoseDataset'
        unlabeled = [without_scope(step) for step in datasets[1].pipeline]
        squeezed = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.),
                    FLIP, dict(type='TopdownResize', input_size=(256, 256)), COLORS]
        ours = [*squeezed[:2], *steps[2:6]]
        assert unlabeled == (squeezed if 'squeeze' in name else ours)


@recipes
def test_the_published_mean_is_reported(name):
    config = load(name)
    assert config.val_evaluator.type == config.test_evaluator.type == (
        'MpiiMeanPCKAccuracy')


def test_probabilities_that_recipes_leave_out():
    flip, box = (TRANSFORMS.build(dict(type=kind)) for kind in (
        'RandomFlip', 'ClippedBBoxTransform'))
    assert (flip.prob, box.scale_prob, box.rotate_prob) == (0.5, 1., 0.6)


def test_every_encoder_and_decoder_is_of_one_convention():
    for name in NETWORKS:
        codecs = [one for _, one in components_of_class(
            load(name).to_dict(), 'HourglassHeatmap')]
        assert len(codecs) > 2
        assert not [*components_of_class(load(name).model.to_dict(), 'MSRAHeatmap')]


def test_people_are_found_without_bias_in_whole_images(mpii_root, tmp_path):
    """From the annotations by the original formulas to the places that we report."""
    rng, people = np.random.default_rng(0), []
    annotations = mpii_root / 'annotations'
    image = json.loads((annotations / 'mpii_val.json').read_text())[0]['image']
    for _ in range(40):
        scale, center = rng.uniform(0.3, 3), rng.uniform(0, 100, 2)
        joints = center + [0, 15 * scale] + 100 * scale * rng.uniform(-1, 1, (16, 2))
        people.append(dict(image=image, scale=scale, center=center.tolist(),
                           joints=joints.tolist(), joints_vis=[1] * 16))
    (tmp_path / 'people.json').write_text(json.dumps(people))

    init_default_scope('mmpose')
    config = load('hourglass_mobile_s2')
    dataset = dict(config.val_dataloader.dataset, data_root=str(mpii_root),
                   ann_file=str(tmp_path / 'people.json'), test_mode=False)
    dataset.pop('headbox_file', None)
    with torch.device('meta'):
        model = MODELS.build(config.model)
    errors = []
    for index, sample in enumerate(DATASETS.build(dataset)):
        if index == len(people):
            break
        person, sample = people[index], sample['data_samples']
        size = 200 * 1.25 * person['scale']
        center = np.array(person['center']) + [0, 15 * person['scale']]
        heatmaps = np.zeros((1, 16, 64, 64), np.float32)
        for heatmap, joint in zip(heatmaps[0], person['joints'], strict=True):
            x, y = ((joint - center) * 64 / size + 32).astype(int)
            heatmap[y, x] = 1
        decoded = model.head.decode(torch.from_numpy(heatmaps))
        found, = model.add_pred_to_datasample(decoded, None, [sample])
        # MpiiPCKAccuracy adds 1 to predictions, as annotations count from 1
        place = found.pred_instances.keypoints[0] + 1
        errors.append((place - sample.gt_instances.keypoints[0]) * 256 / size)
    errors = np.concatenate(errors)
    assert len(errors) == 640
    # half of 4 px either way; the mean has a deviation of 0.05
    assert np.abs(errors).max() < 2.01
    assert np.abs(errors.mean(0)).max() < 0.15


def test_the_original_crop_lies_up_to_a_pixel_aside():
    """Whole pixels of a smaller image, stretched: a difference that is named."""
    rng, shifts = np.random.default_rng(0), []
    for _ in range(12):
        scale = rng.uniform(2.6, 5)
        center, place = rng.uniform(400, 500, 2), rng.uniform(380, 520, 2)
        side = 200 * scale / 256
        y, x = np.mgrid[:720, :1280] + 1.
        dot = np.exp(-((x - place[0])**2 + (y - place[1])**2) / (2 * (6 * scale)**2))
        small = resized(dot, (int(1280 / side), int(720 / side)))
        # from 0 and from 256, counted from 1, of a crop that is not scaled any more
        first, last = ((center / side + edge - 128 - 1).astype(int) + 1
                       for edge in (0, 256))
        crop = np.zeros(last[::-1] - first[::-1])
        begin, end = np.maximum(first, 0), np.minimum(last, small.shape[::-1])
        crop[begin[1] - first[1]:end[1] - first[1],
             begin[0] - first[0]:end[0] - first[0]] = small[
                 begin[1]:end[1], begin[0]:end[0]]
        crop = resized(crop, (256, 256))
        found = [(crop.sum(axis) * np.arange(256)).sum() / crop.sum()
                 for axis in (0, 1)]
        shifts.append(found - ((place - center) / side + 128))
    mean = np.mean(shifts, 0)
    assert (mean < -0.3).all() and (mean > -1.1).all()


def resized(image, size):
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize(
        size, Image.Resampling.BILINEAR), float)
