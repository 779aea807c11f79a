"""Every recipe runs and differs from its stock parent only where it says."""

import importlib.util
import math
from pathlib import Path

from mmpose_wloss.datasets.poses import collect_poses, fit_pose_density
from mmpose_wloss.datasets.transforms.pose_density_weights import (
    multiply_pose_weights,
)

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import DATASETS, MODELS

CONFIGS = Path(__file__).parents[1] / 'configs'
RECIPES = sorted(CONFIGS.rglob('*.py'))
STOCK = 'mmpose::body_2d_keypoint/topdown_heatmap'
# the losses have arguments of their own beside the stock ones
FMSE = dict(type='FocusMSELoss', gamma=1., delta=1., use_target_weight=True)
WAHR = dict(type='WeightAdaptiveMSELoss', gamma=0.01, use_target_weight=True)
HWL = dict(type='HeatmapWeightingMSELoss', function='linear',
           use_target_weight=True)
PARENTS = {
    'hrnet_fmse_coco': ('coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192', FMSE),
    'hrnet_wahr_coco': ('coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192', WAHR),
    'hrnet_hwl_coco': ('coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192', HWL),
    'hourglass_fmse_coco':
    ('coco/td-hm_hourglass52_8xb32-210e_coco-256x256', FMSE),
    'resnet50_fmse_coco': ('coco/td-hm_res50_8xb64-210e_coco-256x192', FMSE),
    'hrnet_fmse_mpii': ('mpii/td-hm_hrnet-w32_8xb64-210e_mpii-256x256', FMSE),
    'hourglass_fmse_mpii':
    ('mpii/td-hm_hourglass52_8xb64-210e_mpii-256x256', FMSE),
}


# the parent, and what of its model differs
RES50 = f'{STOCK}/coco/td-hm_res50_8xb64-210e_coco-256x192'
RES18 = {'backbone.depth', 'backbone.init_cfg.checkpoint', 'head.in_channels',
         'test_cfg.flip_test'}
NETWORKS = {
    **{name: (RES50, RES18) for name in (
        'supervised_res18_coco1k', 'posecons_res18_coco1k',
        'posecons_res18_coco1k_jointcutout', 'posedual_res18_coco1k',
        'posedual_res18_coco5k', 'posedual_res18_coco10k',
        'posedual_res18_coco1k_jointcutout', 'posedual_res18_coco1k_randaug',
        'multiaugs_posecons_res18_coco1k', 'multiaugs_posedual_res18_coco1k')},
    **{f'posedual_res{depth}_coco_unlabeled': (
        f'{STOCK}/coco/td-hm_res{depth}_8xb{batch}-210e_coco-256x192',
        {'test_cfg.flip_test'})
       for depth, batch in ((50, 64), (101, 64), (152, 32))},
    'posedual_hrnetw48_384x288_coco_unlabeled': (
        f'{STOCK}/coco/td-hm_hrnet-w48_8xb32-210e_coco-384x288',
        {'test_cfg.flip_test', 'test_cfg.flip_mode',
         'test_cfg.shift_heatmap'}),
    'posedual_res18_mpii_aic': (
        f'{STOCK}/mpii/td-hm_res50_8xb64-210e_mpii-256x256',
        RES18 | {'test_cfg.flip_mode', 'test_cfg.shift_heatmap'}),
    'posedual_rtmpose-s_coco1k': (
        'mmpose::body_2d_keypoint/rtmpose/coco/'
        'rtmpose-s_8xb256-420e_coco-256x192', set()),
}
DEMO = ['resnet18_mse_annypose', 'resnet18_fmse_annypose',
        'supervised_resnet18_annypose', 'posedual_resnet18_annypose',
        'shufflenetv2_annypose', 'integral3d_h1_d4_annypose',
        'integral3d_i1_d8_annypose', 'integral3d_i1_d16_annypose',
        'hourglass_s4_annypose', 'hourglass_mobile_s2_annypose']
# the source's, which tests/test_human36m_configs.py compares
HUMAN36M = [f'integral3d_{name}_h36m' for name in (
    'h1_d4', 'i1_d8', 'manual_d8', 'i1_d16', 'manual_d16', 'i1_d32', 'i1_d64',
    'manual_d64', 'i1_d64_res50')]
# tests/test_models/test_heads/test_balanced_head.py trains it
BALANCED = ['dekr_balanced_coco']
# the hourglasses of fast pose distillation, with their stacks
HOURGLASSES = {
    'hourglass_s8_mpii': 8, 'hourglass_s2_mpii': 2,
    'hourglass_mobile_s2_mpii': 2, 'hourglass_mobile_s2_squeeze_mpii': 2}
# large networks that differ from another recipe's in a size or a ratio
ALIKE = [name for name in HUMAN36M if name not in (
    'integral3d_h1_d4_h36m', 'integral3d_manual_d64_h36m',
    'integral3d_i1_d64_res50_h36m')]


# taught by a teacher; where the student is from, and what its teacher is
DISTILLED = {
    'hourglass_mobile_s2_fpd_mpii': (
        'hourglass_mobile_s2_mpii', 'hourglass_s8_mpii'),
    'hourglass_mobile_s2_fpd_unlabeled_mpii': (
        'hourglass_mobile_s2_mpii', 'hourglass_s8_mpii'),
    'hrnet_to_mobile_fpd_coco': (
        None, f'{STOCK}/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192'),
    'hourglass_mobile_s2_fpd_annypose': (
        'demo/hourglass_mobile_s2_annypose', 'demo/hourglass_s4_annypose'),
    'hourglass_mobile_s2_fpd_unlabeled_annypose': (
        'demo/hourglass_mobile_s2_annypose', 'demo/hourglass_s4_annypose'),
}

LSP = ['deeppose_vgg16_wloss_lsp', 'cpm_wloss_lsp']

# with weights by pose density; the parent, and what of its model differs
WEIGHTED = {
    'deeppose_res50_wloss_coco': (
        'mmpose::body_2d_keypoint/topdown_regression/coco/'
        'td-reg_res50_8xb64-210e_coco-256x192',
        {'head.loss.type', 'head.loss.loss', 'head.loss.use_target_weight'}),
    'hrnet_wloss_coco': (
        f'{STOCK}/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192', set()),
    'rtmpose-s_wloss_coco': (
        'mmpose::body_2d_keypoint/rtmpose/coco/'
        'rtmpose-s_8xb256-420e_coco-256x192', set()),
    'hrnet_wloss_wflw': (
        'mmpose::face_2d_keypoint/topdown_heatmap/wflw/'
        'td-hm_hrnetv2-w18_8xb64-60e_wflw-256x256', set()),
    'resnet18_wloss_annypose': (
        str(CONFIGS / 'demo' / 'resnet18_mse_annypose'), set()),
    'deeppose_resnet18_wloss_annypose': (
        str(CONFIGS / 'demo' / 'resnet18_mse_annypose'), None),
}


def differences(config: dict, parent: dict, prefix='') -> set:
    """Keys, joined by dots, whose values differ."""
    found = set()
    for key in set(config) | set(parent):
        ours, stock = config.get(key), parent.get(key)
        if isinstance(ours, dict) and isinstance(stock, dict):
            found |= differences(ours, stock, f'{prefix}{key}.')
        elif ours != stock:
            found.add(f'{prefix}{key}')
    return found


@pytest.mark.parametrize('name', PARENTS)
def test_only_the_loss_differs_from_the_stock_parent(name, tmp_path):
    stock, loss = PARENTS[name]
    (tmp_path / 'stock.py').write_text(f"_base_ = '{STOCK}/{stock}.py'\n")
    parent = Config.fromfile(tmp_path / 'stock.py').to_dict()
    config = Config.fromfile(CONFIGS / f'{name}.py').to_dict()
    assert {key.rsplit('.', 1)[0] if 'loss' in key else key
            for key in differences(config, parent)} == {
                'custom_imports', 'model.head.loss'}
    assert config['model']['head']['loss'] == loss


def test_the_demo_configs_differ_in_the_loss_alone():
    mse, focal = (
        Config.fromfile(CONFIGS / 'demo' / f'resnet18_{name}_annypose.py')
        for name in ('mse', 'fmse'))
    assert differences(focal.to_dict(), mse.to_dict()) == {
        'model.head.loss.type', 'model.head.loss.gamma',
        'model.head.loss.delta'}


def test_the_network_that_shows_rare_poses_is_stock(tmp_path):
    (tmp_path / 'stock.py').write_text(
        f"_base_ = '{STOCK}/coco/td-hm_shufflenetv2_8xb64-210e_coco-256x192.py'"
        '\n')
    config, stock = (Config.fromfile(path).to_dict() for path in (
        CONFIGS / 'demo' / 'shufflenetv2_annypose.py', tmp_path / 'stock.py'))
    where, schedule = set(), set()
    for key in differences(config, stock):
        (where if 'data' in key or 'evaluator' in key or 'val_file' in key
         else schedule).add(key)
    assert schedule == {
        'model.backbone.init_cfg', 'train_cfg.max_epochs',
        'train_cfg.val_interval', 'optim_wrapper.optimizer.lr',
        'param_scheduler', 'randomness', 'default_hooks.checkpoint.interval'}
    assert {key.rsplit('.')[-1] for key in where} == {
        'data_root', 'ann_file', 'bbox_file', 'img', 'batch_size',
        'num_workers', 'persistent_workers', 'val_file'}


def test_every_recipe_is_tested():
    assert {recipe.stem for recipe in RECIPES} == {
        *PARENTS, *DEMO, *NETWORKS, *LSP, *WEIGHTED, *HUMAN36M, *BALANCED,
        *HOURGLASSES, *DISTILLED}


@pytest.mark.parametrize('name', NETWORKS)
def test_the_network_differs_from_the_stock_parent_only_where_said(
        name, tmp_path):
    parent, changed = NETWORKS[name]
    (tmp_path / 'stock.py').write_text(f"_base_ = '{parent}.py'\n")
    stock = Config.fromfile(tmp_path / 'stock.py').to_dict()
    config = Config.fromfile(CONFIGS / f'{name}.py').to_dict()
    network = config['model'].get('network', config['model'])
    assert differences(network, stock['model']) == changed
    assert network['test_cfg']['flip_test'] is (name.startswith(
        'posedual_rtmpose'))
    assert not config['val_dataloader']['dataset'].get('bbox_file')
    if 'network' not in config['model']:
        return
    assert config['model']['type'] == (
        'PoseCons' if 'posecons' in name else 'PoseDual')
    # what is known of unlabelled people lies where subsets are written
    labeled, unlabeled = config['train_dataloader']['dataset']['datasets']
    assert unlabeled['type'] == 'UnlabeledPoseDataset'
    if 'first' in labeled['ann_file']:
        assert unlabeled['ann_file'] == labeled['ann_file'].replace(
            '.json', '_rest.json')
    assert (config['train_dataloader']['batch_size'] ==
            config['train_dataloader']['sampler']['batch_size'])


def test_schedules_are_the_sources():
    for name, epochs, steps in (
            ('posecons_res18_coco1k', 30, [20, 25]),
            ('posedual_res18_coco10k', 70, [50, 60]),
            ('posedual_res152_coco_unlabeled', 400, [300, 350]),
            ('posedual_hrnetw48_384x288_coco_unlabeled', 300, [220, 260]),
            ('posedual_res18_mpii_aic', 100, [50, 70])):
        config = Config.fromfile(CONFIGS / f'{name}.py')
        assert config.train_cfg.max_epochs == epochs
        schedule, = config.param_scheduler
        assert schedule.end == epochs and schedule.milestones == steps
        assert config.optim_wrapper.optimizer.type == 'Adam'
        assert config.optim_wrapper.optimizer.lr == 1e-3


@pytest.mark.parametrize('name', HOURGLASSES)
def test_hourglasses_are_the_sources(name, tmp_path):
    (tmp_path / 'stock.py').write_text(
        f"_base_ = '{STOCK}/mpii/td-hm_hourglass52_8xb64-210e_mpii-256x256.py'"
        '\n')
    stock = Config.fromfile(tmp_path / 'stock.py').to_dict()
    config = Config.fromfile(CONFIGS / f'{name}.py').to_dict()
    model, parent = config['model'], stock['model']
    model['backbone'].pop('_scope_', None)
    assert model['backbone'] == dict(
        type='PreActHourglassNet', num_stacks=HOURGLASSES[name], num_blocks=1,
        **(dict(mobile=True) if 'mobile' in name else {}))
    assert differences(dict(model, backbone=None),
                       dict(parent, backbone=None)) == {
        'data_preprocessor.mean', 'data_preprocessor.std', 'head.in_channels',
        'head.num_stages', 'head.decoder.sigma', 'head.decoder._scope_',
        'test_cfg.flip_test'}
    assert model['head']['final_layer'] is None
    assert model['head']['num_stages'] == HOURGLASSES[name]
    assert model['head']['decoder'] == config['codec']
    assert config['codec']['sigma'] == 1
    source_mean = [.4404, .4440, .4327]
    assert [value / 255 for value in model['data_preprocessor']['mean']] == (
        pytest.approx(source_mean))
    assert model['data_preprocessor']['std'] == 3 * [255.]

    optimizer = torch.optim.RMSprop([torch.zeros(1)])
    optimizer = config['optim_wrapper']['optimizer'] | {
        key: optimizer.defaults[key] for key in ('alpha', 'momentum',
                                                 'weight_decay')}
    optimizer.pop('_scope_', None)
    assert optimizer == dict(type='RMSprop', lr=2.5e-4, alpha=.99, momentum=0,
                             weight_decay=0)
    schedule, = config['param_scheduler']
    assert (schedule['milestones'], schedule['gamma'], schedule['end']) == (
        [60], .1, 90)
    assert config['train_cfg']['max_epochs'] == 90
    assert config['train_dataloader']['batch_size'] == 6 == config[
        'auto_scale_lr']['base_batch_size']

    pipeline, expected = (
        without_scope(each['train_dataloader']['dataset']['pipeline'])
        for each in (config, stock))
    changed = [step for step in pipeline if step not in expected]
    assert changed == [
        dict(type='RandomBBoxTransform', shift_prob=0.,
             scale_factor=(.75, 1.25), rotate_factor=60.),
        dict(type='RandomChannelGain', gain=(.8, 1.2)),
        dict(type='GenerateTarget', encoder=config['codec'])]
    assert config['val_dataloader'] == config['test_dataloader']
    if 'squeeze' not in name:
        assert config['val_dataloader'] == stock['val_dataloader']
        assert config['test_evaluator'] == stock['test_evaluator']
        return
    whole = Config.fromfile(CONFIGS / 'hourglass_mobile_s2_mpii.py').to_dict()
    assert differences(config, whole) == {
        'val_pipeline', *(
            f'{mode}_{key}' for mode in ('val', 'test') for key in (
                'dataloader.dataset.pipeline', 'evaluator.type',
                'evaluator.metric', 'evaluator._scope_'))}
    kinds = [step['type'] for step in
             config['test_dataloader']['dataset']['pipeline']]
    assert kinds == ['LoadImage', 'WholeImageBox', 'TopdownResize',
                     'PackPoseInputs']


@pytest.mark.parametrize('name', DISTILLED)
def test_students_and_teachers_are_those_of_other_recipes(name, tmp_path):
    student, teacher = DISTILLED[name]
    file, = CONFIGS.rglob(f'{name}.py')
    config = Config.fromfile(file)
    model = config.model.to_dict()
    assert (model['type'], model['alpha']) == ('FastPoseDistiller', 0.5)
    (tmp_path / 'stock.py').write_text(f"_base_ = '{teacher}.py'\n")
    theirs = Config.fromfile(
        tmp_path / 'stock.py' if '::' in teacher else CONFIGS / f'{teacher}.py')
    assert differences(model['teacher'], theirs.model.to_dict()) <= {
        'backbone.mobile', 'backbone.init_cfg'}
    assert not model['teacher']['backbone'].get('mobile', False)
    assert config.optim_wrapper.optimizer.type == (
        'Adam' if 'annypose' in name else 'RMSprop')
    if student is None:
        # as its teacher's; the network aside
        assert differences(model['student'], model['teacher']) >= {
            'backbone.type', 'head.num_stages'}
        assert model['student']['data_preprocessor'] == (
            model['teacher']['data_preprocessor'])
        assert without_scope([model['student']['head']['decoder']]) == (
            without_scope([model['teacher']['head']['decoder']]))
        assert config.optim_wrapper.optimizer.lr == 2.5e-4
        return
    parent = Config.fromfile(CONFIGS / f'{student}.py')
    assert model['student'] == parent.model.to_dict()
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg',
                'val_dataloader', 'val_evaluator'):
        assert config[key] == parent[key]
    if 'unlabeled' not in name:
        assert config.train_dataloader == parent.train_dataloader
        return
    labeled, unlabeled = config.train_dataloader.dataset.datasets
    assert labeled.pipeline == parent.train_dataloader.dataset.pipeline[:-1]
    # the same augmentation, but for the labels
    assert unlabeled.pipeline[2:] == labeled.pipeline[2:-1]


def test_a_crop_is_the_sources(mpii_root):
    """A square of 200 · scale · 1.25 pixels about the lowered centre."""
    config = Config.fromfile(CONFIGS / 'hourglass_mobile_s2_mpii.py')
    dataset = config.val_dataloader.dataset
    use_generated_files(dataset, 'val', mpii_root)
    dataset.pipeline = dataset.pipeline[:2]
    init_default_scope('mmpose')
    sample = DATASETS.build(dataset)[0]
    scale = .35
    assert sample['bbox_scale'][0] == pytest.approx(2 * [200 * scale * 1.25])
    # the source counts pixels from 1
    assert sample['bbox_center'][0] == pytest.approx(
        [64 - 1, 48 + 15 * scale - 1])


def test_deeppose_is_the_sources():
    config = Config.fromfile(CONFIGS / 'deeppose_vgg16_wloss_lsp.py')
    assert config.optim_wrapper.optimizer == dict(
        type='SGD', lr=2e-3, momentum=0.9, weight_decay=1e-4)
    schedule, = config.param_scheduler
    assert (schedule.type, schedule.step_size, schedule.gamma) == (
        'StepLR', 150, 0.8)
    assert schedule.end == config.train_cfg.max_epochs == 1500
    assert config.train_dataloader.batch_size == 45
    assert config.pose_density == dict(
        file='work_dirs/pose_density/lsp_train.npz', mode='source',
        bandwidth=0.6)
    model = config.model
    assert (model.backbone.type, model.backbone.depth) == ('VGG', 16)
    assert model.backbone.norm_cfg == dict(type='BN')
    assert model.neck.init_cfg == model.backbone.init_cfg
    assert 'flip_test' not in model.test_cfg or not model.test_cfg.flip_test
    kinds = [step.type for step in config.train_dataloader.dataset.pipeline]
    assert kinds == ['LoadImage', 'GetBBoxCenterScale', 'TopdownResize',
                     'RandomHSV', 'GenerateTarget', 'PoseDensityWeights',
                     'PackPoseInputs']
    train, test = (config[f'{mode}_dataloader'].dataset
                   for mode in ('train', 'test'))
    assert (train.split, test.split) == ('train', 'test')


def test_cpm_differs_from_its_stock_parent_only_where_said(tmp_path):
    (tmp_path / 'stock.py').write_text(
        f"_base_ = '{STOCK}/mpii/td-hm_cpm_8xb64-210e_mpii-368x368.py'\n")
    stock = Config.fromfile(tmp_path / 'stock.py').to_dict()
    config = Config.fromfile(CONFIGS / 'cpm_wloss_lsp.py').to_dict()
    assert differences(config['model'], stock['model']) == {
        'backbone.out_channels', 'head.in_channels', 'head.out_channels'}
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'codec'):
        assert config[key] == stock[key]
    for mode in ('train', 'val'):
        pipeline, expected = (
            without_scope(each[f'{mode}_dataloader']['dataset']['pipeline'])
            for each in (config, stock))
        if mode == 'train':
            expected.insert(-1, dict(type='PoseDensityWeights',
                                     file=config['pose_density']['file']))
        assert pipeline == expected


def without_scope(pipeline: list) -> list:
    """A pipeline without what MMEngine notes of where it is from."""
    return [{key: value for key, value in step.items() if key != '_scope_'}
            for step in pipeline]


def pipelines(config) -> list:
    """The training pipelines, also those that a hook switches to."""
    return [config['train_dataloader']['dataset']['pipeline'],
            *(hook['switch_pipeline'] for hook in
              config.get('custom_hooks') or [] if 'switch_pipeline' in hook)]


@pytest.mark.parametrize('name', [*LSP, *WEIGHTED])
def test_weighted_recipes_weigh_by_the_file_that_they_name(name):
    file, = CONFIGS.rglob(f'{name}.py')
    config = Config.fromfile(file)
    assert config.default_hooks.pose_density == dict(type='PoseDensityHook')
    for pipeline in pipelines(config):
        kinds = [step.type for step in pipeline]
        place = kinds.index('PoseDensityWeights')
        assert pipeline[place].file == config.pose_density.file
        assert kinds[place - 1:] == ['GenerateTarget', 'PoseDensityWeights',
                                     'PackPoseInputs']
    assert all(step.type != 'PoseDensityWeights'
               for step in config.val_dataloader.dataset.pipeline)
    if name in LSP:
        assert config.default_hooks.checkpoint.save_best == 'PCK@0.2'


@pytest.mark.parametrize('name', [
    name for name, (_, changed) in WEIGHTED.items() if changed is not None])
def test_weighted_recipes_differ_from_their_parents_only_where_said(
        name, tmp_path):
    parent, changed = WEIGHTED[name]
    (tmp_path / 'stock.py').write_text(f"_base_ = '{parent}.py'\n")
    stock = Config.fromfile(tmp_path / 'stock.py').to_dict()
    file, = CONFIGS.rglob(f'{name}.py')
    config = Config.fromfile(file).to_dict()
    assert differences(config['model'], stock['model']) == changed
    for pipeline, expected in zip(pipelines(config), pipelines(stock),
                                  strict=True):
        assert [step for step in without_scope(pipeline)
                if step['type'] != 'PoseDensityWeights'] == without_scope(
                    expected)
    config['default_hooks'].pop('pose_density')
    for key in ('default_hooks', 'optim_wrapper', 'param_scheduler',
                'train_cfg', 'val_dataloader', 'val_evaluator'):
        assert config[key] == stock[key]


def use_generated_data(config: Config, roots: dict):
    """Point a config to the generated data and away from the network."""
    for mode in ('train', 'val'):
        loader = config[f'{mode}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        loader.sampler.pop('batch_size', None)
        if loader.sampler.type == 'EpochMultiSourceSampler':
            loader.sampler.batch_size = 2
        outer = loader.dataset
        for dataset in outer.get('datasets') or [outer.get('dataset', outer)]:
            use_generated_files(dataset, mode, roots[dataset.type])
    if importlib.util.find_spec('albumentations') is None:
        # which MMPose has as an option, and RTMPose's recipes use
        dataset = config.train_dataloader.dataset
        if 'pipeline' in dataset:
            dataset.pipeline = [step for step in dataset.pipeline
                                if step.type != 'Albumentation']
    network = network_of(config)
    for part in ('backbone', 'neck'):
        if 'init_cfg' in network.get(part, {}):
            network[part].init_cfg = None


def network_of(config: Config) -> dict:
    """The stock pose estimator of a config, wrapped or not."""
    model = config.model
    return model.get('network', model.get('student', model))


def untrained_teacher(config: Config, file: Path):
    """Write a checkpoint for the teacher that a config names."""
    if 'teacher' in config.model:
        torch.save(MODELS.build(config.model.teacher).state_dict(), file)
        config.model.teacher_checkpoint = str(file)


def shrink_heatmaps(config: Config, size: int, stride: int):
    """Let a heatmap network see images of another size."""
    networks = [config.model[key] for key in ('teacher', 'student')
                if key in config.model] or [config.model]
    decoder = networks[0].head.decoder
    codec = dict(input_size=(size, size), heatmap_size=(
        size // stride, size // stride, *decoder.heatmap_size[2:]))
    for network in networks:
        network.head.decoder.update(codec)
    for mode in ('train', 'val'):
        dataset = config[f'{mode}_dataloader'].dataset
        for step in [step for each in dataset.get('datasets', [dataset])
                     for step in each.pipeline]:
            if step.type in ('TopdownAffine', 'TopdownResize'):
                step.input_size = codec['input_size']
            elif step.type == 'GenerateTarget':
                step.encoder.update(codec)


def fit_pose_weights(config: Config, file: Path):
    """Write the pose density that a config names, of the generated data."""
    dataset = config.train_dataloader.dataset
    for step in dataset.get('pipeline', ()):
        if step.type == 'PoseDensityWeights':
            poses = collect_poses(DATASETS.build(dict(dataset, pipeline=[])))
            options = dict(config.pose_density, components=2)
            options.pop('file')
            fit_pose_density(poses, **options).save(str(file))
            step.file = str(file)


def use_generated_files(dataset, mode: str, root: Path):
    dataset.pop('filter_cfg', None)
    dataset.pop('bbox_file', None)
    dataset.data_root = str(root)
    if dataset.type == 'MpiiDataset':
        if 'headbox_file' in dataset:
            dataset.headbox_file = str(
                root / 'annotations' / 'mpii_gt_val.mat')
    elif dataset.type == 'LSPDataset':
        dataset.train_size = 6
    elif dataset.type not in ('WFLWDataset', 'Human36mImageDataset'):
        dataset.ann_file = f'annotations/person_keypoints_{mode}2017.json'
        dataset.data_prefix = dict(img=f'{mode}2017/')


@pytest.mark.parametrize('recipe', [
    recipe for recipe in RECIPES if recipe.stem not in [*BALANCED, *ALIKE]
], ids=lambda path: path.stem)
def test_a_recipe_trains_and_predicts(recipe, roots, tmp_path):
    config = Config.fromfile(recipe)
    network = network_of(config)
    if '_scope_' in network.backbone:
        pytest.importorskip(network.backbone._scope_,
                            reason='the backbone is registered there')
    use_generated_data(config, roots)
    if recipe.stem == 'cpm_wloss_lsp':
        # at 368 x 368 its step and flip test take half a minute
        shrink_heatmaps(config, size=96, stride=8)
    elif recipe.stem in HUMAN36M:
        shrink_heatmaps(config, size=128, stride=4)
    elif recipe.stem in HOURGLASSES or recipe.stem.endswith(
            ('fpd_mpii', 'fpd_unlabeled_mpii')):
        shrink_heatmaps(config, size=64, stride=4)
    init_default_scope('mmpose')
    untrained_teacher(config, tmp_path / 'teacher.pth')
    fit_pose_weights(config, tmp_path / 'weights.npz')
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3))

    batch = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))
    multiply_pose_weights(batch['data_samples'])
    losses = model.train().train_step(batch, optimizer)
    assert math.isfinite(losses['loss']) and losses['loss'] > 0
    assert all(parameter.grad is None or parameter.grad.isfinite().all()
               for parameter in model.parameters())

    batch = next(iter(Runner.build_dataloader(config.val_dataloader, seed=0)))
    with torch.no_grad():
        results = model.eval().val_step(batch)
    # of heads for heatmaps and for coordinates
    keypoints = network.head.get('out_channels') or network.head.num_joints
    axes = 3 if 'integral3d' in recipe.stem else 2
    assert [result.pred_instances.keypoints.shape for result in results] == (
        2 * [(1, keypoints, axes)])
