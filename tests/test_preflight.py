"""What a config needs is checked, and completed, before anything is built."""

import copy
import json
import re
from importlib import metadata
from pathlib import Path

from mmpose_wloss.commands.recipe import load_base
from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.datasets.metainfo import metainfo_of_category
from mmpose_wloss.preflight import (
    add_hooks,
    check_areas,
    check_components,
    check_files,
    check_finite,
    check_numbers,
)
from mmpose_wloss.recipes import semi_supervised

import pytest
from lamps import CATEGORY
from mmengine.config import Config

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'


def missing_of(config: Config, modes: list[str]) -> str:
    with pytest.raises(MissingFile) as error:
        check_files(config, modes)
    return str(error.value)


def test_files_of_nested_data_sets_and_evaluators(coco_root):
    dataset = dict(
        type='CocoDataset', data_root=str(coco_root),
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'))
    nested = dict(type='CombinedDataset', datasets=[
        dataset, dict(dataset, ann_file='annotations/other.json')])
    config = Config(dict(
        train_dataloader=dict(dataset=dict(
            type='RepeatDataset', dataset=nested)),
        val_dataloader=dict(dataset=dict(dataset, bbox_file='boxes.json')),
        val_evaluator=[dict(type='PCKAccuracy'),
                       dict(type='CocoMetric', ann_file='nowhere.json')]))
    text = missing_of(config, ['train', 'val'])
    for part in ('train_dataloader.dataset.dataset.datasets.1.ann_file',
                 'val_evaluator.1.ann_file: nowhere.json',
                 'val_dataloader.dataset.bbox_file: boxes.json',
                 'https://cocodataset.org/#download',
                 '--cfg-options val_dataloader.dataset.bbox_file=None'):
        assert part in text
    config.train_dataloader.dataset.dataset.datasets.pop()
    check_files(config, ['train'])


@pytest.mark.parametrize('dataset', [
    dict(ann_file='s3://bucket/annotations.json',
         data_prefix=dict(img='s3://bucket/images')),
    dict(ann_file='elsewhere.json', backend_args=dict(backend='petrel'))])
def test_remote_files_are_left_to_their_backend(dataset):
    check_files(Config(dict(train_dataloader=dict(
        dataset=dict(dataset, type='CocoDataset')))), ['train'])


@pytest.mark.parametrize('file, command', [
    ('annypose/annotations/train.json', 'render dataset --out data/annypose'),
    ('people_first1000_rest.json', 'subset data/people.json --count 1000'),
    ('people_random50_seed3_by_num_keypoints_rest.json',
     'subset data/people.json --count 50 --seed 3 --stratify num_keypoints')])
def test_files_that_a_command_writes_name_it(tmp_path, monkeypatch, file,
                                             command):
    monkeypatch.chdir(tmp_path)
    config = Config(dict(train_dataloader=dict(dataset=dict(
        type='UnlabeledPoseDataset', data_root='data', ann_file=file))))
    lines = missing_of(config, ['train']).splitlines()
    assert f'  python -m mmpose_wloss {command}' in lines


def test_a_pose_density_is_looked_for_where_it_is_used(coco_root):
    path = CONFIGS / 'rtmpose-s_wloss_coco.py'
    config = Config.fromfile(path)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.data_root = str(coco_root)
    config.val_evaluator = dict(type='NetworksEvaluator', metrics=[dict(
        type='PoseRarityMetric', file='rarity.npz',
        metric=dict(type='CocoMetric', ann_file='nowhere.json'))])
    text = missing_of(config, ['train', 'val'])
    # also in the pipeline that a hook puts in the place of the first
    for place in ('train_dataloader.dataset.pipeline',
                  r'custom_hooks\.\d+\.switch_pipeline'):
        assert re.search(rf'{place}\.\d+\.file: .*npz', text)
    assert 'val_evaluator.metrics.0.file: rarity.npz' in text
    assert 'val_evaluator.metrics.0.metric.ann_file: nowhere.json' in text
    assert f'density fit {path}\n' in text
    assert 'train' not in missing_of(config, ['val']).replace(str(path), '')


@pytest.mark.parametrize('name, keys', [
    ('deeppose_vgg16_wloss_lsp', ('extended_ann_file', 'order_file')),
    ('integral3d_h1_d4_h36m', ('camera_param_file', 'ann_file'))])
def test_our_data_sets_tell_their_own_files(name, keys, lsp_root, h36m_root):
    config = Config.fromfile(CONFIGS / f'{name}.py')
    root = lsp_root if 'lsp' in name else h36m_root
    dataset = config.train_dataloader.dataset
    dataset.data_root = str(root)
    config.pop('custom_hooks', None)
    dataset.pipeline = []
    check_files(Config(dict(train_dataloader=dict(dataset=dataset))), ['train'])
    dataset.update({key: 'none.file' for key in keys})
    text = missing_of(config, ['train'])
    for key in keys:
        assert f'train_dataloader.dataset.{key}: {root}/none.file' in text
    assert ('johnson.io' if 'lsp' in name else 'preprocess_h36m.py') in text


def test_a_teacher_is_looked_for(tmp_path):
    model = dict(type='FastPoseDistiller', teacher_checkpoint='none.pth')
    with pytest.raises(MissingFile, match='model.teacher_checkpoint.*none.pth'):
        check_components(Config(dict(model=model, train_dataloader=dict())))
    for change in (dict(teacher_checkpoint='https://any.where/it.pth'),
                   dict(alpha=0.), dict(teacher_checkpoint=__file__)):
        check_components(Config(dict(model=dict(model, **change),
                                     train_dataloader=dict())))


@pytest.mark.parametrize('found', [None, '2.0.8', '1.4.24'])
@pytest.mark.parametrize('key', ['train_dataloader', 'custom_hooks'])
def test_albumentations_that_mmpose_cannot_use(key, found, monkeypatch):
    def version(name):
        assert name == 'albumentations'
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, 'version', version)
    pipeline = [dict(type='LoadImage'), dict(type='mmpose.Albumentation')]
    config = Config({'train_dataloader': dict(batch_size=2),
                     key: dict(pipeline=pipeline), 'test_pipeline': pipeline})
    if found == '1.4.24':
        check_components(config)
        return
    with pytest.raises(UserError, match=rf'{key}\.pipeline\.1.*{found or "none"}'):
        check_components(config)
    # a test does not need it
    config.pop('train_dataloader')
    check_components(config)


def test_a_wrong_flip_test_is_refused():
    config = Config.fromfile(CONFIGS / 'deeppose_vgg16_wloss_lsp.py')
    config.model.test_cfg.flip_test = True
    check_components(config)
    config.model.head.type = 'RegressionHead'
    for model in (config.model, dict(type='PoseCons', network=config.model)):
        with pytest.raises(UserError, match='flip_test'):
            check_components(Config(dict(model=model)))
    config.model.head.decoder.type = 'RegressionLabel'
    check_components(config)


def test_hooks_that_components_ask_for_are_added_once():
    config = Config.fromfile(CONFIGS / 'posedual_res18_coco1k.py')
    config.custom_hooks = [
        hook for hook in config.custom_hooks
        if hook.type not in ('DualNetworkHook', 'UnreadableImagesHook')]
    own = dict(type='ResumableRandomnessHook', priority=10)
    config.custom_hooks.append(own)
    config.pop('custom_imports')
    add_hooks(config)
    kinds = [hook['type'] for hook in config.custom_hooks]
    assert {'SyncBuffersHook', 'DualNetworkHook', 'UnreadableImagesHook'
            } < set(kinds)
    assert len(kinds) == len(set(kinds)) and own in config.custom_hooks
    assert config.custom_imports['imports'] == ['mmpose_wloss']
    before = list(config.custom_hooks)
    add_hooks(config)
    assert config.custom_hooks == before


def test_outputs_for_the_joints_of_the_data():
    """COCO's 17 for five are the first mistake with joints of one's own."""
    lamp = metainfo_of_category(CATEGORY)
    base = load_base('mmpose::animal_2d_keypoint/topdown_heatmap/ap10k/'
                     'td-hm_res50_8xb64-210e_ap10k-256x256.py')
    check_components(base)
    base.train_dataloader.dataset.metainfo = lamp
    for config in (base, semi_supervised(base, 'my/images')):
        with pytest.raises(UserError, match="out_channels=17.*'lamp' has 5 joints"):
            check_components(config)
    converted = copy.deepcopy(base)
    converted.train_dataloader.dataset.pipeline.append(
        dict(type='KeypointConverter', num_keypoints=17, mapping=[(0, 0)]))
    check_components(converted)
    # UDP's offsets have three outputs a joint
    for outputs in (5, 15):
        base.model.head.out_channels = outputs
        check_components(base)


def test_crops_are_of_the_size_of_the_codec():
    """A new codec in a config that inherits another one changes its head alone."""
    base = load_base('mmpose::animal_2d_keypoint/topdown_heatmap/ap10k/'
                     'td-hm_res50_8xb64-210e_ap10k-256x256.py')
    for config in (base, semi_supervised(base, 'my/images')):
        check_components(config)
        network = config.model.get('network') or config.model
        network.head.decoder.update(input_size=(128, 128), heatmap_size=(32, 32))
        with pytest.raises(UserError, match=r'train_dataloader\..*\.input_size='
                           r'\(256, 256\).*\(128, 128\)'):
            check_components(config)


@pytest.mark.parametrize('key, value', [
    ('train_cfg.max_epochs', -1), ('train_cfg.max_iters', 'many'),
    ('train_dataloader.batch_size', 0), ('val_dataloader.batch_size', 1.5),
    ('test_dataloader.num_workers', -1)])
def test_counts(key, value):
    config = Config(dict(
        train_cfg=dict(max_epochs=1), train_dataloader=dict(batch_size=1),
        val_dataloader=dict(num_workers=0), test_dataloader=dict()))
    check_numbers(config)
    config.merge_from_dict({key: value})
    with pytest.raises(UserError, match=f'{key} .* {value!r}'):
        check_numbers(config)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_keypoints_are_finite(tmp_path, value):
    people = [dict(id=index, area=float('nan'), keypoints=[1., 2., 2.])
              for index in (3, 4)]
    file = tmp_path / 'people.json'
    config = Config(dict(train_dataloader=dict(dataset=dict(dataset=dict(
        type='CocoDataset', data_root=str(tmp_path), ann_file=file.name)))))
    for indent in (None, 1):
        people[1]['keypoints'][1] = 2.
        file.write_text(json.dumps(dict(annotations=people), indent=indent))
        check_finite(config, ['train', 'val'])
        people[1]['keypoints'][1] = value
        file.write_text(json.dumps(dict(annotations=people), indent=indent))
        with pytest.raises(UserError, match=r'people\.json: .* id 4'):
            check_finite(config, ['train', 'val'])


@pytest.mark.parametrize('kind', ['CocoMetric', 'FastCocoMetric'])
def test_areas_are_there_for_metrics_that_take_them(tmp_path, kind):
    people = [dict(id=3, area=5.), dict(id=4)]
    file = tmp_path / 'people.json'
    file.write_text(json.dumps(dict(annotations=people)))
    metric = dict(type=kind, ann_file=str(file))
    config = Config(dict(val_evaluator=dict(
        type='NetworksEvaluator', metrics=[dict(type='PCKAccuracy'), metric])))
    with pytest.raises(UserError, match=r'people\.json: 1 .* id 4.*'
                       r'val_evaluator\.metrics\.1\.use_area=False'):
        check_areas(config, ['val'])
    check_areas(config, ['test'])
    config.val_evaluator.metrics[1].use_area = False
    check_areas(config, ['val'])
