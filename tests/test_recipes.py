"""Recipes on stock configs of many families, and what they refuse."""

import copy
import math
from pathlib import Path

from mmpose_wloss.commands.recipe import load_base, text_over
from mmpose_wloss.common.config_text import without_scope
from mmpose_wloss.common.configs import without_cache
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.preflight import check_layer_decay
from mmpose_wloss.recipes import (
    LINEAR_LOSSES,
    NONLINEAR_LOSSES,
    balance,
    cache_crops,
    device_targets,
    distill,
    draw_rare_poses,
    focus_heatmaps,
    semi_supervised,
    weigh_poses,
)

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

BODY = 'mmpose::body_2d_keypoint'
COCO = f'{BODY}/topdown_heatmap/coco/td-hm'
TEACHER = f'{COCO}_hrnet-w32_8xb64-210e_coco-256x192.py'
RTMPOSE = f'{BODY}/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'
FACE = ('mmpose::face_2d_keypoint/topdown_heatmap/wflw/'
        'td-hm_hrnetv2-w18_8xb64-60e_wflw-256x256.py')
SMALL = f'{COCO}_shufflenetv2_8xb64-210e_coco-256x192.py'
RECIPES = dict(
    semi=lambda cfg: semi_supervised(cfg, 'my/images'),
    distill=lambda cfg: distill(cfg, TEACHER, images='my/images'),
    weigh=weigh_poses, draw=draw_rare_poses, focus=focus_heatmaps, balance=balance,
    targets=device_targets)
WEIGH = {'weigh', 'draw'}
HEATMAPS = {'semi', 'distill', 'focus', 'targets'} | WEIGH
# stock configs, and the recipes that fit them; the others say why they do not
FAMILIES = {
    TEACHER: HEATMAPS,
    f'{COCO}_hrnet-w32_udp-regress-8xb64-210e_coco-256x192.py':
        HEATMAPS - {'focus'},
    f'{COCO}_mspn50_8xb32-210e_coco-256x192.py': HEATMAPS - {'distill'},
    f'{COCO}_hourglass52_8xb32-210e_coco-256x256.py': HEATMAPS,
    f'{COCO}_ViTPose-small_8xb64-210e_coco-256x192.py': HEATMAPS,
    f'{COCO}_hrnet-w32_8xb64-210e_coco-aic-256x192-combine.py':
        HEATMAPS - WEIGH,
    RTMPOSE: HEATMAPS - {'focus'},
    f'{BODY}/topdown_regression/coco/td-reg_res50_8xb64-210e_coco-256x192.py':
        {'semi', 'distill'} | WEIGH,
    f'{BODY}/topdown_regression/coco/'
    'td-reg_res50_rle-8xb64-210e_coco-256x192.py': {'semi', 'distill'} | WEIGH,
    f'{BODY}/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py':
        {'focus', 'balance'},
    f'{BODY}/rtmo/coco/rtmo-s_8xb32-600e_coco-640x640.py': {'balance'},
    FACE: HEATMAPS,
    'mmpose::hand_2d_keypoint/topdown_heatmap/onehand10k/'
    'td-hm_res50_8xb32-210e_onehand10k-256x256.py': HEATMAPS,
    'mmpose::wholebody_2d_keypoint/topdown_heatmap/coco-wholebody/'
    'td-hm_hrnet-w32_8xb64-210e_coco-wholebody-256x192.py': HEATMAPS,
    'mmpose::animal_2d_keypoint/topdown_heatmap/ap10k/'
    'td-hm_res50_8xb64-210e_ap10k-256x256.py': HEATMAPS,
}


@pytest.mark.parametrize('stock', FAMILIES, ids=lambda name: name.split('/')[-1])
def test_a_recipe_fits_a_family_or_says_why_not(stock):
    init_default_scope('mmpose')
    base = load_base(stock)
    before = copy.deepcopy(base.to_dict())
    for name, recipe in RECIPES.items():
        if name not in FAMILIES[stock]:
            with pytest.raises(UserError):
                recipe(base)
            continue
        config = recipe(base)
        assert base.to_dict() == before
        text = text_over(config, stock)
        assert len(text.splitlines()) < 50
        written = Config.fromstring(text, '.py')
        assert without_scope(written.to_dict()) == without_scope(config.to_dict())
        assert set(base.custom_imports.imports if 'custom_imports' in base else ()
                   ) < set(config.custom_imports.imports)
        check_layer_decay(config)
        if 'ViTPose' not in stock:
            # of mmpretrain
            with torch.device('meta'):
                MODELS.build(config.model)


@pytest.mark.parametrize('options', [dict(), dict(budget=20)])
def test_crops_of_labeled_and_unlabeled_people(options):
    base = load_base(SMALL)
    mixed = semi_supervised(base, 'my/images')
    for order in (lambda cfg: device_targets(cache_crops(cfg, 'ram', **options)),
                  lambda cfg: cache_crops(device_targets(cfg), 'ram', **options)):
        config = order(mixed)
        written = Config.fromstring(text_over(config, SMALL), '.py')
        assert without_scope(written.to_dict()) == without_scope(config.to_dict())
        labeled, unlabeled = config.train_dataloader.dataset.datasets
        assert labeled == dict(type='CropCache', cache='ram', **options,
                               dataset=labeled.dataset)
        assert labeled.dataset.pipeline[-1].type == 'DeviceTargets'
        assert unlabeled.cache == (dict(cache='ram', **options) if options else 'ram')
        assert config.val_dataloader == mixed.val_dataloader
        assert without_cache(config.train_dataloader.dataset) == (
            device_targets(mixed).train_dataloader.dataset)
    alone = cache_crops(base)
    assert alone.train_dataloader.dataset.dataset == base.train_dataloader.dataset
    assert alone.train_dataloader.collate_fn == dict(type='quick_collate')
    for refused, error in ((config, 'already'), (load_base(
            f'{BODY}/rtmo/coco/rtmo-s_8xb32-600e_coco-640x640.py'), 'top-down')):
        with pytest.raises(UserError, match=error):
            cache_crops(refused)
    with pytest.raises(UserError, match='cache'):
        cache_crops(base, 'memory')


def test_data_hooks_and_evaluator_of_a_semi_supervised_training():
    base = load_base(SMALL)
    config = semi_supervised(
        base, 'data/coco/annotations/rest.json', method='PoseCons',
        labels='data/coco/annotations/first.json', batch_size=8,
        source_ratio=[1, 3], teacher='eval')
    assert (config.model.type, config.model.teacher) == ('PoseCons', 'eval')
    loader = config.train_dataloader
    assert loader.batch_size == loader.sampler.batch_size == 8
    assert loader.sampler.source_ratio == [1, 3]
    labeled, unlabeled = loader.dataset.datasets
    for dataset, file in ((labeled, 'first'), (unlabeled, 'rest')):
        assert dataset.data_root == 'data/coco/'
        assert dataset.ann_file == f'annotations/{file}.json'
        assert dataset.data_prefix == base.train_dataloader.dataset.data_prefix
    assert [step.type for step in unlabeled.pipeline] == [
        'LoadImage', 'GetBBoxCenterScale', 'RandomFlip', 'RandomBBoxTransform',
        'TopdownAffine']
    assert [hook.type for hook in config.custom_hooks] == [
        'SyncBuffersHook', 'DualNetworkHook', 'UnreadableImagesHook']
    assert config.val_evaluator.metrics == base.val_evaluator


def test_a_folder_is_of_whole_images_with_the_joints_of_the_labeled_data():
    unlabeled = semi_supervised(load_base(FACE), 'my/images').unlabeled
    assert unlabeled.data_prefix == dict(img='my/images')
    assert 'wflw' in unlabeled.metainfo.from_file
    assert dict(type='GetBBoxCenterScale', padding=1.) in unlabeled.pipeline


def test_hooks_that_switch_pipelines_are_weighed_or_left_out():
    rtmpose = load_base(RTMPOSE)
    weighed = weigh_poses(rtmpose, 'density.npz')
    switch, = (hook for hook in weighed.custom_hooks if 'switch_pipeline' in hook)
    for pipeline in (weighed.train_dataloader.dataset.pipeline,
                     switch.switch_pipeline):
        place = [step.type for step in pipeline].index('PoseDensityWeights')
        assert pipeline[place - 1].type == 'GenerateTarget'
    assert [hook.type for hook in semi_supervised(rtmpose, 'my').custom_hooks] == [
        'DualNetworkHook', 'UnreadableImagesHook']
    assert len(distill(rtmpose, TEACHER).custom_hooks) == 3


def test_targets_are_drawn_where_recipes_and_hooks_take_pipelines():
    for cfg in (weigh_poses(device_targets(load_base(RTMPOSE)), 'w.npz'),
                device_targets(weigh_poses(load_base(RTMPOSE), 'w.npz'))):
        switch, = (hook for hook in cfg.custom_hooks if 'switch_pipeline' in hook)
        for pipeline in (cfg.train_dataloader.dataset.pipeline,
                         switch.switch_pipeline):
            assert [step.type for step in pipeline][-3:] == [
                'DeviceTargets', 'PoseDensityWeights', 'PackPoseInputs']
        assert cfg.custom_hooks[-1].type == 'DeviceTargetsHook'
    base = load_base(SMALL)
    before = semi_supervised(device_targets(base), 'my')
    after = device_targets(semi_supervised(base, 'my'))
    assert before.train_dataloader == after.train_dataloader
    assert before.labeled.pipeline[-1].type == 'DeviceTargets'
    assert not any('Targets' in step.type for step in before.unlabeled.pipeline)


def test_a_density_has_the_whole_name_of_its_annotations():
    base = load_base(SMALL)
    base.train_dataloader.dataset.ann_file = 'annotations/coco_v1.1.json'
    assert draw_rare_poses(base).pose_density.file == str(
        Path('work_dirs', 'pose_density', 'coco_v1.1.npz'))
    # as density fit refuses it
    with pytest.raises(UserError, match='my_0.2'):
        draw_rare_poses(base, 'my_0.2')


def test_rare_poses_are_drawn_beside_unlabeled_images_too():
    base = load_base(SMALL)
    assert draw_rare_poses(base, 'd.npz').train_dataloader.sampler == dict(
        type='PoseDensitySampler', file='d.npz')
    cfg = draw_rare_poses(semi_supervised(base, 'my'), 'd.npz', mode='repeat_factor')
    assert cfg.train_dataloader.sampler.densities == ['d.npz', None]
    assert cfg.pose_density == dict(file='d.npz', mode='repeat_factor')
    base.train_dataloader.sampler = dict(type='DrawSampler', num_samples=10)
    with pytest.raises(UserError, match='DrawSampler'):
        draw_rare_poses(base)


def test_recipes_compose():
    base = load_base(SMALL)
    after = weigh_poses(focus_heatmaps(semi_supervised(base, 'my')), 'w.npz')
    assert after.model.network.head.loss.type == 'FocusMSELoss'
    before = semi_supervised(weigh_poses(focus_heatmaps(base), 'w.npz'), 'my')
    for key in ('model', 'train_dataloader', 'default_hooks'):
        assert after[key] == before[key]


@pytest.mark.parametrize('recipe', [
    lambda cfg: distill(semi_supervised(cfg, 'my'), TEACHER),
    lambda cfg: semi_supervised(distill(cfg, TEACHER), 'my'),
    lambda cfg: weigh_poses(weigh_poses(cfg)),
    lambda cfg: distill(cfg, 'configs/hourglass_s8_mpii.py'),
    lambda cfg: device_targets(device_targets(cfg)),
    lambda cfg: balance(cfg),
    lambda cfg: balance(cfg, 'Nothing', ['loss_kpt', 'loss_vis']),
    lambda cfg: balance(cfg, dict(ratios={}), ['loss_kpt', 'loss_vis']),
    lambda cfg: focus_heatmaps(cfg, 'Nothing'),
    lambda cfg: semi_supervised(cfg, 'my', 'Nothing'),
], ids=['distill(semi)', 'semi(distill)', 'twice', 'no checkpoint', 'drawn',
        'one loss', 'no balancer', 'no type', 'no loss', 'no method'])
def test_what_makes_no_sense_is_refused(recipe):
    with pytest.raises(UserError):
        recipe(load_base(SMALL))


@pytest.mark.parametrize('balancer, found', [
    ('GradNormBalancer', dict(weights='first_batch')),
    ('UncertaintyBalancer', dict(log_variance='first_batch')),
    ('AdaptiveBalancer', {}),
    # a whole config stays as it is
    (dict(type='GradNormBalancer', alpha=0.5), dict(alpha=0.5))])
def test_a_balancer_by_name_starts_from_the_first_batch(balancer, found):
    cfg = balance(load_base(f'{BODY}/dekr/coco/dekr_hrnet-w32_8xb10-140e_'
                            'coco-512x512.py'), balancer)
    kind = balancer if isinstance(balancer, str) else balancer['type']
    assert cfg.model.head.balancer.to_dict() == dict(found, type=kind)


# shapes of what heads give their losses, if not [B, K, D]
HEATMAP, SIMCC = [(2, 17, 8, 8)] * 2, [[(2, 17, 8)] * 2] * 2
SHAPES = dict(
    KeypointMSELoss=HEATMAP, FocusMSELoss=HEATMAP, HeatmapWeightingMSELoss=HEATMAP,
    WeightAdaptiveMSELoss=HEATMAP, KeypointOHKMMSELoss=HEATMAP,
    AdaptiveWingLoss=HEATMAP, CombinedTargetMSELoss=[(2, 51, 8, 8)] * 2,
    RankSortLoss=HEATMAP, RankSortDiscretLoss=SIMCC, ExpectedOKSLoss=HEATMAP,
    KLDiscretLoss=SIMCC, RLELoss=[(2, 17, 2)] * 3)


@pytest.mark.parametrize('name', LINEAR_LOSSES + NONLINEAR_LOSSES)
def test_which_losses_weigh_samples_linearly(name):
    init_default_scope('mmpose')
    weighted = dict(use_target_weight=True)
    loss = MODELS.build(dict(type=name, **dict(
        MaskedMSELoss={}, ExpectedOKSLoss=dict(sigmas=[0.1] * 17),
        InstanceWeightedLoss=dict(loss=dict(
            type='SmoothL1Loss', **weighted))).get(name, weighted)))
    shapes = SHAPES.get(name, [(2, 17, 2)] * 2)
    torch.manual_seed(0)
    inputs = [tuple(map(torch.rand, shape)) if isinstance(shape, list)
              else torch.rand(shape) for shape in shapes]
    weights = torch.ones(2, 17)
    if shapes[0] == (2, 17, 2):
        # some are linear where errors are small
        inputs = [9 * each for each in inputs]
        weights = weights[..., None].expand(-1, -1, 2)
    one, two = (float(loss(*inputs, scale * weights)) for scale in (1, 2))
    assert math.isclose(two, 2 * one, rel_tol=1e-4) is (name in LINEAR_LOSSES)


def test_hard_views_hide_as_large_a_share_of_few_joints():
    """Four of a body's 17, and less of less."""
    for joints, hidden in ((17, {}), (16, {}), (21, {}), (14, dict(num_joints=3)),
                           (5, dict(num_joints=1)), (2, dict(num_joints=1))):
        base = load_base(TEACHER)
        base.train_dataloader.dataset.metainfo = dict(
            dataset_name='things', skeleton_info={}, sigmas=[.05] * joints,
            joint_weights=[1.] * joints, keypoint_info={
                index: dict(name=str(index), id=index, swap='')
                for index in range(joints)})
        config = semi_supervised(base, 'my/images')
        assert config.model.hard_views[0] == dict(type='JointCutout', **hidden)
        given = [dict(type='HardAffine')]
        assert semi_supervised(base, 'my/images', hard_views=given
                               ).model.hard_views == given
