"""PoseCons and PoseDual: what the recipes load to, beside xierc/Semi_Human_Pose."""

from pathlib import Path

import pytest
from mmengine.config import Config

CONFIGS = Path(__file__).parents[2] / 'configs'
TORCHVISION = 'torchvision://resnet{}'
HRNET = ('https://download.openmmlab.com/mmpose/pretrain_models/'
         'hrnet_w48-8ef0771d.pth')
AFFINE = dict(type='HardAffine')
JOINT_CUTOUT = [dict(type='JointCutout'), AFFINE]
SUBSET = 'annotations/person_keypoints_train2017_first{}.json'
COCO = 'annotations/person_keypoints_train2017.json'
ALL_OF_COCO = (COCO, None, dict(num_keypoints_thr=1))
UNLABELED2017 = (
    'annotations/image_info_unlabeled2017.json',
    'data/coco/person_detection_results/'
    'COCO_unlabeled2017_detections_person_faster_rcnn.json', None)
# of each experiment: networks; END_EPOCH, LR_STEP, BATCH_SIZE; IMAGE_SIZE, SIGMA;
# PRETRAINED of the first network, and whether the second has another;
# the labeled and the unlabeled set; the hard view
RECIPES = {
    'posecons_res18_coco1k': (
        1, (30, [20, 25], 32), ((192, 256), 2), (TORCHVISION.format(18), False),
        SUBSET.format(1000), ALL_OF_COCO, [AFFINE]),
    'posedual_res18_coco1k': (
        2, (30, [20, 25], 32), ((192, 256), 2), (TORCHVISION.format(18), True),
        SUBSET.format(1000), ALL_OF_COCO, [AFFINE]),
    'posedual_res18_coco1k_jointcutout': (
        2, (70, [50, 60], 32), ((192, 256), 2), (TORCHVISION.format(18), True),
        SUBSET.format(1000), ALL_OF_COCO, JOINT_CUTOUT),
    'posedual_res18_coco1k_randaug': (
        2, (70, [50, 60], 32), ((192, 256), 2), (TORCHVISION.format(18), True),
        SUBSET.format(1000), ALL_OF_COCO,
        [dict(type='RandAugment', magnitude=20), AFFINE]),
    **{f'posedual_res18_coco{count}k{suffix}': (
        2, (100, [70, 90], 32), ((192, 256), 2), (TORCHVISION.format(18), True),
        SUBSET.format(1000 * count), ALL_OF_COCO, hard_view)
       for count in (5, 10) for suffix, hard_view in (
           ('', [AFFINE]), ('_jointcutout', JOINT_CUTOUT))},
    **{f'posedual_res{depth}_coco_unlabeled': (
        2, (400, [300, 350], 32), ((192, 256), 2),
        (TORCHVISION.format(depth), False), COCO, UNLABELED2017, JOINT_CUTOUT)
       for depth in (50, 101, 152)},
    'posedual_hrnetw48_384x288_coco_unlabeled': (
        2, (300, [220, 260], 8), ((288, 384), 3), (HRNET, False), COCO,
        UNLABELED2017, JOINT_CUTOUT),
    'posedual_res18_mpii_aic': (
        2, (100, [50, 70], 32), ((256, 256), 2), (TORCHVISION.format(18), False),
        'annotations/mpii_train.json', ('annotations/aic_train.json', None, None),
        JOINT_CUTOUT),
}


def facts(name: str) -> tuple:
    """What a recipe loads to, in the order of the table."""
    config = Config.fromfile(CONFIGS / f'{name}.py')
    model, loader = config.model, config.train_dataloader
    scheduler, = config.param_scheduler
    labeled, unlabeled = loader.dataset.datasets
    assert loader.sampler.source_ratio == [1, 1]
    codec = model.network.head.decoder
    return (
        dict(PoseCons=1, PoseDual=2, PoseTriple=3)[model.type],
        (config.train_cfg.max_epochs, scheduler.milestones, loader.batch_size // 2),
        (tuple(codec.input_size), codec.sigma),
        (model.network.backbone.init_cfg.checkpoint,
         [*(model.get('init_cfgs') or ())] == ['second']),
        labeled.ann_file,
        (unlabeled.ann_file, unlabeled.get('bbox_file'), unlabeled.get('filter_cfg')),
        model.hard_views)


def check_what_recipes_share(config: Config) -> None:
    """Optimizer, losses, easy view and evaluation of all of them."""
    optimizer, (scheduler, ) = config.optim_wrapper.optimizer, config.param_scheduler
    # WD and MOMENTUM of the experiments reach no Adam
    assert (optimizer.type, optimizer.lr, optimizer.get('weight_decay', 0)) == (
        'Adam', 1e-3, 0)
    assert (scheduler.type, scheduler.gamma, scheduler.end) == (
        'MultiStepLR', 0.1, config.train_cfg.max_epochs)
    model = config.model
    assert model.network.head.loss == dict(type='KeypointMSELoss',
                                           use_target_weight=True)
    assert not model.network.test_cfg.flip_test
    assert not {'teacher', 'supervised_weight', 'consistency_weight', 'teacher_views',
                'confidence_threshold'} & model.keys()
    hook, = (hook for hook in config.custom_hooks
             if hook.type == 'DualNetworkHook')
    assert hook == dict(type='DualNetworkHook')
    for part, steps in zip(config.train_dataloader.dataset.datasets, (
            6, 5), strict=True):
        assert len(part.pipeline) == steps
        assert [step.type for step in part.pipeline[:5]] == [
            'LoadImage', 'GetBBoxCenterScale', 'RandomFlip', 'ClippedBBoxTransform',
            'TopdownAffine']
        # FLIP, SCALE_FACTOR 0.25 and ROT_FACTOR 30, up to twice
        assert part.pipeline[3] == dict(
            type='ClippedBBoxTransform', shift_prob=0., scale_factor=(0.75, 1.25),
            rotate_factor=60.)
        metainfo = part.get('metainfo')
        assert metainfo in (None, dict(from_file='configs/_base_/datasets/mpii.py'))
    assert config.val_dataloader.dataset.get('bbox_file') is None


@pytest.mark.parametrize('name', RECIPES)
def test_a_recipe_is_the_originals(name):
    assert facts(name) == RECIPES[name]
    check_what_recipes_share(Config.fromfile(CONFIGS / f'{name}.py'))
