"""Every recipe builds, and differs from its parent only where it says."""

import copy
import importlib.util
import math
from pathlib import Path

from mmpose_wloss import recipes
from mmpose_wloss.commands.recipe import load_base
from mmpose_wloss.common.config_text import without_scope
from mmpose_wloss.common.configs import (
    components,
    components_of_class,
    data_sets,
)
from mmpose_wloss.datasets.poses import collect_poses, fit_pose_density
from mmpose_wloss.datasets.transforms.pose_density_weights import (
    multiply_pose_weights,
)

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import DATASETS, MODELS
from small_networks import shrink_images

ROOT = Path(__file__).parents[1]
CONFIGS = {file.stem: file for file in sorted((ROOT / 'configs').rglob('*.py'))
           if '_base_' not in file.parts}
# of the embedded data set and of studies: no models to download and compare
OF_STUDIES = ('demo', 'lspet')
HEATMAP = 'mmpose::body_2d_keypoint/topdown_heatmap'
HRNET = f'{HEATMAP}/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'
RES50 = f'{HEATMAP}/coco/td-hm_res50_8xb64-210e_coco-256x192.py'
WHOLE_BODY = 'mmpose::wholebody_2d_keypoint/rtmpose'
RTMPOSE_M, RTMPOSE_L = (
    f'{WHOLE_BODY}/coco-wholebody/rtmpose-{size}_8xb64-270e_coco-wholebody-256x192.py'
    for size in 'ml')
RTMW = f'{WHOLE_BODY}/cocktail14/rtmw-{{}}_8xb1024-270e_cocktail14-256x192.py'
RTMPOSE = ('mmpose::body_2d_keypoint/rtmpose/coco/'
           'rtmpose-s_8xb256-420e_coco-256x192.py')

# what a run reads, and of it what says how long and how fast it trains
SCHEDULE = {'train_cfg', 'optim_wrapper', 'param_scheduler', 'auto_scale_lr'}
READ = SCHEDULE | {
    'model', 'train_dataloader', 'val_dataloader', 'test_dataloader',
    'val_evaluator', 'test_evaluator', 'custom_hooks', 'default_hooks',
    'randomness', 'visualizer', 'custom_imports'}
GROUND_TRUTH_BOXES = {f'{mode}_dataloader.dataset.bbox_file'
                      for mode in ('val', 'test')}
LABELS = {'train_dataloader.dataset.datasets'}
RES18 = {'backbone.depth', 'backbone.init_cfg', 'head.in_channels',
         'test_cfg.flip_test'}
# the stock config whose network a recipe has, and where the network differs
NETWORKS = {
    'supervised_res18_coco1k': (RES50, RES18),
    'posedual_res18_mpii_aic': (
        f'{HEATMAP}/mpii/td-hm_res50_8xb64-210e_mpii-256x256.py',
        RES18 | {'test_cfg'}),
    **{f'posedual_res{depth}_coco_unlabeled': (
        f'{HEATMAP}/coco/td-hm_res{depth}_8xb{batch}-210e_coco-256x192.py',
        {'test_cfg.flip_test'})
       for depth, batch in ((50, 64), (101, 64), (152, 32))},
    'posedual_hrnetw48_384x288_coco_unlabeled': (
        f'{HEATMAP}/coco/td-hm_hrnet-w48_8xb32-210e_coco-384x288.py',
        {'test_cfg'}),
    'multiaugs_posedual_hrnetw32_mpii_aic': (
        f'{HEATMAP}/mpii/td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py',
        {'head.decoder.sigma', 'test_cfg'}),
    'cpm_wloss_lsp': (
        f'{HEATMAP}/mpii/td-hm_cpm_8xb64-210e_mpii-368x368.py',
        {'backbone.out_channels', 'head.in_channels', 'head.out_channels'}),
    'deeppose_vgg16_wloss_lsp': (
        'mmpose::body_2d_keypoint/topdown_regression/mpii/'
        'td-reg_res50_8xb64-210e_mpii-256x256.py',
        {'backbone', 'neck', 'head', 'test_cfg.flip_test'}),
    'hourglass_s8_mpii': (
        f'{HEATMAP}/mpii/td-hm_hourglass52_8xb64-210e_mpii-256x256.py',
        {'data_preprocessor', 'backbone', 'head.decoder',
         'head.in_channels', 'head.num_stages', 'test_cfg'}),
    'hourglass52_start_mpii': (
        f'{HEATMAP}/mpii/td-hm_hourglass52_8xb64-210e_mpii-256x256.py',
        {'data_preprocessor'}),
    'hrnet_to_mobile_fpd_coco': (HRNET, {'backbone', 'head'}),
    'simcc_res50_ranksort_coco': (
        'mmpose::body_2d_keypoint/simcc/coco/'
        'simcc_res50_8xb64-210e_coco-256x192.py', {'head.loss'}),
    'shufflenetv2_annypose': (
        f'{HEATMAP}/coco/td-hm_shufflenetv2_8xb64-210e_coco-256x192.py',
        {'backbone.init_cfg'}),
}


def semi(images, hard_views=recipes.HARD_VIEWS, **arguments):
    return lambda cfg: recipes.semi_supervised(
        cfg, images, hard_views=hard_views, **arguments)


def weigh(name, stock):
    return stock, lambda cfg: recipes.weigh_poses(
        cfg, f'work_dirs/pose_density/{name}.npz'), set()


def focus(stock, *differs, **loss):
    return stock, lambda cfg: recipes.focus_heatmaps(cfg, loss), {*differs}


def distill(teacher, checkpoint, **arguments):
    return lambda cfg: recipes.distill(
        cfg, Config.fromfile(CONFIGS[teacher]).model,
        f'work_dirs/{teacher}/{checkpoint}.pth', **arguments)


def dwpose(teacher):
    return lambda cfg: recipes.distill(
        cfg, teacher, alpha=0.1, teacher_decay=True, feature_loss=dict(
            type='FeaLoss', name='feature', use_this=True, student_channels=768,
            teacher_channels=1024, alpha_fea=7e-5))


def dwpose_head(cfg):
    teacher = copy.deepcopy(cfg.model)
    first = 'work_dirs/rtmpose-l_to_m_dwpose_coco-wholebody/student.pth'
    cfg.model.backbone.init_cfg.checkpoint = first
    return recipes.distill(cfg, teacher, first, alpha=1., frozen=['backbone'])


FMSE = dict(type='FocusMSELoss', gamma=1., delta=1.)
ALL_OF_COCO = dict(ann_file='annotations/person_keypoints_train2017.json',
                   filter_cfg=dict(num_keypoints_thr=1))
# parent, the function that makes the recipe of it, and where it differs further:
# in the schedule, in files, or in the augmentation
MADE = {
    'hrnet_fmse_coco': focus(HRNET, **FMSE),
    'hrnet_wahr_coco': focus(HRNET, type='WeightAdaptiveMSELoss', gamma=0.01),
    'hrnet_hwl_coco': focus(HRNET, type='HeatmapWeightingMSELoss',
                            function='linear'),
    'hrnet_ranksort_coco': focus(HRNET, type='RankSortLoss'),
    'hourglass_fmse_coco': focus(
        f'{HEATMAP}/coco/td-hm_hourglass52_8xb32-210e_coco-256x256.py',
        'find_unused_parameters', **FMSE),
    'resnet50_fmse_coco': focus(RES50, **FMSE),
    'hrnet_fmse_mpii': focus(
        f'{HEATMAP}/mpii/td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py', **FMSE),
    'hourglass_fmse_mpii': focus(
        f'{HEATMAP}/mpii/td-hm_hourglass52_8xb64-210e_mpii-256x256.py',
        'find_unused_parameters', **FMSE),
    'resnet18_fmse_annypose': focus('resnet18_mse_annypose', **FMSE),
    'hrnet_drawn_coco': (HRNET, lambda cfg: recipes.draw_rare_poses(
        cfg, 'work_dirs/pose_density/coco_train2017.npz'), set()),
    'hrnet_wloss_coco': weigh('coco_train2017', HRNET),
    'rtmpose-s_wloss_coco': weigh('coco_train2017', RTMPOSE),
    'deeppose_res50_wloss_coco': weigh(
        'coco_train2017', 'mmpose::body_2d_keypoint/topdown_regression/coco/'
        'td-reg_res50_8xb64-210e_coco-256x192.py'),
    'hrnet_wloss_wflw': weigh(
        'wflw_train', 'mmpose::face_2d_keypoint/topdown_heatmap/wflw/'
        'td-hm_hrnetv2-w18_8xb64-60e_wflw-256x256.py'),
    'resnet18_wloss_annypose': weigh('annypose_train', 'resnet18_mse_annypose'),
    'efficientnet_lite0_wloss_lspet': weigh('lspet_train',
                                            'efficientnet_lite0_mse_lspet'),
    'dekr_balanced_coco': (
        'mmpose::body_2d_keypoint/dekr/coco/'
        'dekr_hrnet-w32_8xb10-140e_coco-512x512.py', recipes.balance, set()),
    'posecons_res18_coco1k': (
        'supervised_res18_coco1k',
        semi(ALL_OF_COCO, [dict(type='HardAffine')], method='PoseCons', batch_size=64),
        SCHEDULE),
    'posedual_rtmpose-s_coco1k': (
        RTMPOSE, semi(ALL_OF_COCO, batch_size=64),
        SCHEDULE | LABELS | {'train_dataloader.num_workers'}),
    'posedual_hrnetw48_384x288_coco_unlabeled': (
        f'{HEATMAP}/coco/td-hm_hrnet-w48_8xb32-210e_coco-384x288.py',
        semi('unlabeled.json', batch_size=16),
        SCHEDULE | LABELS | GROUND_TRUTH_BOXES | {'model.network.test_cfg'}),
    'posedual_res18_mpii_aic': (
        f'{HEATMAP}/mpii/td-hm_res50_8xb64-210e_mpii-256x256.py', semi('aic'),
        SCHEDULE | LABELS | {'model.network'}),
    'posedual_resnet18_annypose': (
        'supervised_resnet18_annypose', semi(
            dict(ann_file='annotations/person_keypoints_train.json',
                 indices=1200), batch_size=32),
        {'model.hard_views', 'custom_hooks'}),
    'hourglass_mobile_s2_fpd_mpii': (
        'hourglass_mobile_s2_mpii', distill('hourglass_s8_mpii', 'epoch_90'),
        set()),
    'hourglass_mobile_s2_fpd_unlabeled_mpii': (
        'hourglass_mobile_s2_mpii', distill(
            'hourglass_s8_mpii', 'epoch_90', source_ratio=None, images=dict(
                data_root='data/unlabeled/', data_prefix=dict(img='images/'))),
        set()),
    'hourglass_mobile_s2_fpd_annypose': (
        'hourglass_mobile_s2_annypose', distill('hourglass_s4_annypose', 'epoch_14'),
        {'model.teacher.backbone.mobile'}),
    'hourglass_mobile_s1_fpd_lspet': (
        'hourglass_mobile_s1_lspet',
        distill('efficientnet_lite0_sigma2_lspet', 'epoch_8'), set()),
    'rtmpose-l_to_m_dwpose_coco-wholebody': (
        RTMPOSE_M, dwpose(RTMPOSE_L), {'optim_wrapper.clip_grad'}),
    'rtmpose-m_head_dwpose_coco-wholebody': (
        RTMPOSE_M, dwpose_head, SCHEDULE | {'custom_hooks'}),
    'rtmw-l_to_m_dwpose_cocktail14': (
        RTMW.format('m'), dwpose(RTMW.format('l')), {'optim_wrapper.clip_grad'}),
    'hourglass_mobile_s2_fpd_unlabeled_annypose': (
        'hourglass_mobile_s2_annypose', distill(
            'hourglass_s4_annypose', 'epoch_14', images='unlabeled.json',
            batch_size=32),
        LABELS | {'model.teacher.backbone.mobile'}),
}
# with large networks, or nearly as others
SLOW = [name for name in CONFIGS if name not in (
    'hrnet_wloss_wflw', 'integral3d_i1_d64_res50_h36m') and (
    name.endswith(('_h36m', '_coco_unlabeled', 'coco5k', 'coco10k')) or
    'jointcutout' in name or
    name.startswith(('hrnet', 'posedual_hrnet', 'hourglass_fmse', 'hourglass_s',
                     'posedual_res18_coco', 'posetriple', 'multiaugs_posedual')))]


def differences(config: dict, parent: dict, prefix: str = '') -> set:
    """Keys, joined by dots, whose values differ."""
    found = set()
    for key in config.keys() | parent.keys():
        ours, theirs = config.get(key), parent.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            found |= differences(ours, theirs, f'{prefix}{key}.')
        elif ours != theirs:
            found.add(f'{prefix}{key}')
    return found


def load(name: str) -> Config:
    return load_base(name if '::' in name else str(CONFIGS[name]))


def unsaid(config: dict, parent: dict, said: set) -> set:
    """Keys whose values differ and of which nothing says so."""
    return {key for key in differences(*map(without_scope, (config, parent)))
            if not any(f'{key}.'.startswith(f'{each}.') for each in said)}


def test_every_recipe_is_compared_and_listed():
    # those over others of ours say in a few lines where they differ
    assert {name for name, file in CONFIGS.items()
            if '::' in file.read_text() and '_base_/' not in file.read_text()
            } <= NETWORKS.keys() | MADE.keys() <= CONFIGS.keys()
    listed = yaml.safe_load((ROOT / 'configs' / 'metafile.yml').read_text())
    assert {model['Name'] for model in listed['Models']} == {
        name for name, file in CONFIGS.items()
        if file.parent.name not in OF_STUDIES}
    assert all((ROOT / model['Config']).stem == model['Name']
               for model in listed['Models'])
    assert {model['In Collection'] for model in listed['Models']} == {
        each['Name'] for each in listed['Collections']}
    assert all((ROOT / each['README']).is_file()
               for each in listed['Collections'])


@pytest.mark.parametrize('name', NETWORKS)
def test_a_network_is_stock_but_for_what_is_said(name):
    parent, said = NETWORKS[name]
    assert not unsaid(network_of(load(name)), load(parent).model, said)


@pytest.mark.parametrize('name', MADE)
def test_a_recipe_is_what_its_function_makes(name):
    parent, make, said = MADE[name]
    found = unsaid(*(each.to_dict() for each in (load(name), make(load(parent)))),
                   said)
    assert not {key for key in found if key.partition('.')[0] in READ}


@pytest.mark.parametrize('name', CONFIGS)
def test_a_model_builds_and_decodes_as_the_labels_are_encoded(name):
    init_default_scope('mmpose')
    config = load(name)
    if name in SLOW:
        with torch.device('meta'):
            MODELS.build(config.model)
    head = network_of(config).head
    codecs = [head.get('head', head).decoder, *(
        step.encoder for _, step in components_of_class(
            config.train_dataloader, 'GenerateTarget'))]
    assert len(codecs) > 1
    for codec in codecs:
        if len(codec.get('heatmap_size', ())) > 2:
            # the head alone makes depth, and draws
            codec.heatmap_size = codec.heatmap_size[:2]
            for key in ('depth_sigma', 'nearest_bin'):
                codec.pop(key, None)
    assert all(without_scope(codec) == without_scope(codecs[0])
               for codec in codecs)


def test_a_crop_is_that_of_the_original_code(mpii_root):
    """A square of 200 · scale · 1.25 pixels about the lowered center."""
    dataset = load('hourglass_mobile_s2_mpii').val_dataloader.dataset
    use_generated_files(dataset, 'val', mpii_root)
    dataset.pipeline = dataset.pipeline[:2]
    init_default_scope('mmpose')
    sample = DATASETS.build(dataset)[0]
    scale = .35
    assert sample['bbox_scale'][0] == pytest.approx(2 * [200 * scale * 1.25])
    # there pixels count from 1
    assert sample['bbox_center'][0] == pytest.approx(
        [64 - 1, 48 + 15 * scale - 1])


def network_of(config: Config) -> dict:
    """The stock pose estimator of a config, wrapped or not."""
    model = config.model
    return model.get('network', model.get('student', model))


def use_generated_data(config: Config, roots: dict) -> None:
    """Point a config to the generated data and away from the network."""
    for mode in ('train', 'val'):
        loader = config[f'{mode}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        if loader.dataset.get('metainfo', {}).get('from_file', '').endswith(
                'coco_wholebody.py'):
            # the first of the 14 of RTMW
            loader.dataset.datasets = loader.dataset.datasets[0].datasets[:1]
        if 'source_ratio' in loader.sampler:
            # one image of each
            loader.batch_size = len(loader.sampler.source_ratio)
            loader.sampler.update(batch_size=loader.batch_size,
                                  source_ratio=[1] * loader.batch_size)
        # a wrapper's own pipeline, too
        for _, dataset in [('', loader.dataset), *data_sets(loader.dataset)]:
            if 'pipeline' in dataset and not importlib.util.find_spec('albumentations'):
                # MMPose can do without, and RTMPose's configs use it
                dataset.pipeline = [step for step in dataset.pipeline
                                    if step.type != 'Albumentation']
        for _, dataset in data_sets(loader.dataset):
            folder = Path(dataset.get('data_root') or '').name
            if folder in roots:
                dataset.data_root = str(roots[folder])
            else:
                use_generated_files(dataset, mode, roots[dataset.type])
    for _, part in components(config.model):
        part.pop('init_cfg', None)
        if part.get('type') == 'SyncBN':
            part.type = 'BN'  # it is for GPUs


def use_generated_files(dataset: dict, mode: str, root: Path) -> None:
    dataset.pop('filter_cfg', None)
    dataset.pop('bbox_file', None)
    dataset.data_root = str(root)
    if 'headbox_file' in dataset:
        dataset.headbox_file = str(root / 'annotations' / 'mpii_gt_val.mat')
    if dataset.type == 'LSPDataset':
        dataset.train_size = 6
        if 'order_file' in dataset:
            # as the original code numbers them: of LSP-extended from 0
            (root / dataset.order_file).write_text('7,0,6,3,9,1,4,5,8,2')
    elif dataset.type in ('CocoDataset', 'UnlabeledPoseDataset',
                          'CocoStyle3DDataset', 'CocoWholeBodyDataset'):
        dataset.ann_file = f'annotations/person_keypoints_{mode}2017.json'
        dataset.data_prefix = dict(img=f'{mode}2017/')


def write_what_it_reads(config: Config, folder: Path) -> None:
    """Write the teacher and the pose density that a config names."""
    if 'teacher' in config.model:
        file = str(folder / 'teacher.pth')
        teacher = config.model.teacher
        if isinstance(teacher, str):
            teacher = load(teacher).model
        torch.save(MODELS.build(teacher).state_dict(), file)
        config.model.teacher_checkpoint = file
    for _, step in (one for name in ('PoseDensityWeights', 'PoseDensitySampler')
                    for one in components_of_class(config.train_dataloader, name)):
        _, dataset = next(data_sets(config.train_dataloader.dataset))
        poses = collect_poses(DATASETS.build(dict(dataset, pipeline=[])))
        options = dict(config.pose_density, components=2)
        options.pop('file')
        step.file = str(folder / 'weights.npz')
        fit_pose_density(poses, **options).save(step.file)


@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name in CONFIGS if name != 'dekr_balanced_coco'])
def test_a_recipe_trains_and_predicts(name, roots, tmp_path):
    config = load(name)
    network = network_of(config)
    if '_scope_' in network.backbone:
        pytest.importorskip(network.backbone._scope_,
                            reason='the backbone is registered there')
    use_generated_data(config, roots)
    shrink_images(config)
    init_default_scope('mmpose')
    write_what_it_reads(config, tmp_path)
    config.work_dir, config.visualizer.name = str(tmp_path), name
    runner = Runner.from_cfg(config)
    model = runner.model
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
    axes = 3 if 'integral3d' in name else 2
    assert [result.pred_instances.keypoints.shape for result in results] == (
        2 * [(1, keypoints, axes)])
