import os
import re
import subprocess
import sys
from pathlib import Path

from mmpose_wloss.preflight import (
    MissingFile,
    WrongFlipTest,
    add_resumable_randomness,
    check_config_path,
    check_data_files,
    check_flip_test,
    refuse_depth_growth,
    stock_tool,
)

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools'
CONFIG = ROOT / 'configs' / 'hrnet_fmse_coco.py'
DEMO_CONFIG = ROOT / 'configs' / 'demo' / 'resnet18_fmse_annypose.py'


def run(*command, cwd):
    environment = dict(os.environ, OMP_NUM_THREADS='1',
                       PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    return subprocess.run(
        list(map(str, command)), cwd=cwd, text=True, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_the_tools_take_the_arguments_of_mmpose(tmp_path):
    for name in ('train', 'test'):
        ours = run(sys.executable, TOOLS / f'{name}.py', '--help', cwd=tmp_path)
        stock = run(sys.executable, stock_tool(name).__file__, '--help',
                    cwd=tmp_path)
        arguments = re.compile(r'--[a-z-]+')
        assert ours.returncode == 0, ours.stdout
        assert set(arguments.findall(ours.stdout)) == set(
            arguments.findall(stock.stdout)) > {'--work-dir', '--cfg-options'}


def test_a_wrong_config_path_suggests_the_nearest(tmp_path):
    result = run(sys.executable, TOOLS / 'train.py', 'configs/hrnet_fsme_coco.py',
                 cwd=ROOT)
    assert result.returncode == 1
    assert 'Did you mean:\n  configs/hrnet_fmse_coco.py' in result.stdout
    assert 'Traceback' not in result.stdout
    with pytest.raises(MissingFile, match='are in configs'):
        check_config_path(str(tmp_path / 'xyz.py'))
    with pytest.raises(MissingFile, match='mean:\n.*configs/hrnet_fmse_coco'):
        check_config_path('hrnet_fsme_coco.py')
    check_config_path(str(CONFIG))


def test_missing_data_is_named_before_a_model_is_built(tmp_path):
    result = run(sys.executable, TOOLS / 'train.py', CONFIG, cwd=tmp_path)
    assert result.returncode == 1
    assert 'Traceback' not in result.stdout
    for text in (
            'train_dataloader.dataset.ann_file: data/coco/annotations/'
            'person_keypoints_train2017.json',
            'val_dataloader.dataset.bbox_file: data/coco/person_detection',
            'val_evaluator.ann_file: ', 'https://cocodataset.org/#download',
            '--cfg-options val_dataloader.dataset.bbox_file=None'):
        assert text in result.stdout
    assert not (tmp_path / 'work_dirs').exists()


def test_files_of_nested_datasets_and_evaluators(tmp_path, coco_root):
    dataset = dict(
        type='CocoDataset', data_root=str(coco_root),
        ann_file='annotations/person_keypoints_train2017.json',
        data_prefix=dict(img='train2017/'))
    nested = dict(type='CombinedDataset', datasets=[
        dataset, dict(dataset, ann_file='annotations/other.json')])
    cfg = Config(dict(
        train_dataloader=dict(dataset=dict(
            type='RepeatDataset', dataset=nested)),
        val_dataloader=dict(dataset=dataset),
        val_evaluator=[dict(type='PCKAccuracy'),
                       dict(type='CocoMetric', ann_file='nowhere.json')]))
    with pytest.raises(MissingFile) as error:
        check_data_files(cfg, ['train', 'val'])
    assert 'train_dataloader.dataset.dataset.datasets.1.ann_file' in str(
        error.value)
    assert 'val_evaluator.1.ann_file: nowhere.json' in str(error.value)
    cfg.train_dataloader.dataset.dataset.datasets.pop()
    check_data_files(cfg, ['train'])


@pytest.mark.parametrize('change', [
    dict(ann_file='s3://bucket/annotations.json', data_root='',
         data_prefix=dict(img='s3://bucket/images')),
    dict(backend_args=dict(backend='petrel'), ann_file='elsewhere.json')])
def test_remote_files_are_left_to_their_backend(change):
    cfg = Config(dict(train_dataloader=dict(dataset=dict(
        type='CocoDataset', data_root='data/coco',
        data_prefix=dict(img='train2017/'), **{**dict(ann_file='a.json'),
                                               **change}
    ) if 'data_prefix' not in change else dict(type='CocoDataset', **change))))
    check_data_files(cfg, ['train'])


def test_the_rendered_data_set_names_its_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFile, match='render_dataset.py --out '
                       'data/annypose'):
        check_data_files(Config.fromfile(DEMO_CONFIG), ['train', 'val'])


@pytest.mark.parametrize('name, command', [
    ('first1000', '--count 1000'), ('first1000_rest', '--count 1000'),
    ('random50_seed3', '--count 50 --seed 3'),
    ('random50_seed3_by_num_keypoints_rest',
     '--count 50 --seed 3 --stratify num_keypoints')])
def test_a_subset_of_annotations_names_its_command(name, command):
    config = Config.fromfile(ROOT / 'configs' / 'posedual_res18_coco1k.py')
    labeled = config.train_dataloader.dataset.datasets[0]
    labeled.ann_file = f'annotations/people_{name}.json'
    with pytest.raises(MissingFile) as error:
        check_data_files(config, ['train', 'val'])
    lines = [line.strip() for line in str(error.value).splitlines()]
    assert ('python tools/make_subset.py data/coco/annotations/people.json '
            f'{command}') in lines
    assert any(line.startswith('val_evaluator.metrics.ann_file: ')
               for line in lines)
    assert 'any images of people serve' in str(error.value)
    assert '--cfg-options' in lines[-1] and 'bbox_file=None' not in lines[-1]


def test_a_pose_density_names_its_command(tmp_path, coco_root):
    path = ROOT / 'configs' / 'rtmpose-s_wloss_coco.py'
    config = Config.fromfile(path)
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.data_root = str(coco_root)
    config.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=config.train_dataloader.dataset)
    metric = dict(type='CocoMetric', ann_file='nowhere.json')
    config.val_evaluator = dict(type='NetworksEvaluator', metrics=[dict(
        type='PoseRarityMetric', file='rarity.npz', metric=metric)])
    with pytest.raises(MissingFile) as error:
        check_data_files(config, ['train', 'val'])
    file = config.pose_density['file']
    for place in ('train_dataloader.dataset.dataset.pipeline',
                  r'custom_hooks\.\d+\.switch_pipeline'):
        assert re.search(rf'{place}\.\d+\.file: {file}', str(error.value))
    assert ('val_evaluator.metrics.0.file: rarity.npz' in str(error.value))
    assert ('val_evaluator.metrics.0.metric.ann_file: nowhere.json'
            in str(error.value))
    assert f'python tools/pose_density.py fit {path}\n' in str(error.value)
    with pytest.raises(MissingFile, match='val_evaluator') as error:
        check_data_files(config, ['val'])
    assert file not in str(error.value)


def test_both_files_of_lsp_are_looked_for(tmp_path, lsp_root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(ROOT / 'configs' / 'deeppose_vgg16_wloss_lsp.py')
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.dataset.data_root = str(lsp_root)
    weights = Path(config.pose_density['file'])
    weights.parent.mkdir(parents=True)
    weights.touch()
    check_data_files(config, ['train', 'val'])
    dataset = config.train_dataloader.dataset
    dataset.update(extended_ann_file='elsewhere/joints.mat',
                   order_file='order.txt')
    dataset.data_prefix.extended = 'elsewhere/images'
    with pytest.raises(MissingFile) as error:
        check_data_files(config, ['train', 'val'])
    for key in ('extended_ann_file', 'order_file', 'data_prefix.extended'):
        assert f'train_dataloader.dataset.{key}: {lsp_root}' in str(
            error.value)
    assert 'http://sam.johnson.io/research/lspet.html' in str(error.value)


def test_all_files_of_human36m_are_looked_for(tmp_path, h36m_root):
    config = Config.fromfile(ROOT / 'configs' / 'integral3d_h1_d4_h36m.py')
    for mode in ('train', 'val'):
        config[f'{mode}_dataloader'].dataset.data_root = str(h36m_root)
    check_data_files(config, ['train', 'val'])
    dataset = config.train_dataloader.dataset
    dataset.update(camera_param_file='none.pkl',
                   ann_file=[dataset.ann_file, 'none.npz'])
    with pytest.raises(MissingFile) as error:
        check_data_files(config, ['train'])
    for name in ('ann_file', 'camera_param_file', 'none.npz', 'none.pkl',
                 'preprocess_h36m.py'):
        assert name in str(error.value)
    assert 'h36m_train.npz' not in str(error.value)


def test_a_teacher_is_looked_for(tmp_path, coco_root):
    config = Config(dict(model=dict(
        type='FastPoseDistiller', teacher_checkpoint='work_dirs/none.pth')))
    with pytest.raises(MissingFile, match=r'model.teacher_checkpoint: '
                       r'work_dirs.none.pth(.|\n)*trained first'):
        check_data_files(config, ['train', 'val'])
    check_data_files(config, ['test'])
    for change in (dict(teacher_checkpoint='https://any.where/it.pth'),
                   dict(alpha=0.),
                   dict(teacher_checkpoint=str(CONFIG))):
        check_data_files(Config(dict(model=dict(config.model, **change))),
                         ['train'])


def test_a_wrong_flip_test_is_refused():
    config = Config.fromfile(ROOT / 'configs' / 'deeppose_vgg16_wloss_lsp.py')
    check_flip_test(config)
    config.model.test_cfg.flip_test = True
    check_flip_test(config)
    config.model.head.type = 'RegressionHead'
    with pytest.raises(WrongFlipTest, match='model.test_cfg.flip_test: Regr'):
        check_flip_test(config)
    wrapped = Config(dict(model=dict(type='PoseCons', network=config.model)))
    with pytest.raises(WrongFlipTest, match='model.network.test_cfg'):
        check_flip_test(wrapped)
    config.model.head.decoder.type = 'RegressionLabel'
    check_flip_test(config)
    check_flip_test(Config(dict()))


def test_a_test_loads_no_checkpoint_of_another_depth():
    configs = [Config.fromfile(
        ROOT / 'configs' / 'demo' / f'integral3d_{name}_annypose.py')
        for name in ('h1_d4', 'i1_d8')]
    init_default_scope('mmpose')
    state = MODELS.build(configs[0].model).state_dict()
    MODELS.build(configs[1].model).load_state_dict(state)
    refuse_depth_growth(configs[1])
    with pytest.raises(ValueError, match='d2 = 4 bins of depth, the model 8'):
        MODELS.build(configs[1].model).load_state_dict(state)
    refuse_depth_growth(Config.fromfile(DEMO_CONFIG))
    refuse_depth_growth(Config(dict()))


def test_dump_beside_the_evaluator_of_networks(tmp_path, coco_root,
                                               demo_configs):
    base = ROOT / 'configs' / 'demo' / 'posedual_resnet18_annypose.py'
    (tmp_path / 'dual.py').write_text(f"""
_base_ = {str(base)!r}
test_dataloader = dict(dataset=dict(
    data_root={str(coco_root)!r}, data_prefix=dict(img='val2017/'),
    ann_file='annotations/person_keypoints_val2017.json'))
test_evaluator = dict(metrics=[dict(type='PCKAccuracy', thr=0.1)])
""")
    config = Config.fromfile(tmp_path / 'dual.py')
    init_default_scope('mmpose')
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()),
               tmp_path / 'dual.pth')
    for extra, expected in (([], 'ensemble/PCK'), (['--dump', 'out.pkl'], 'PCK')):
        result = run(sys.executable, TOOLS / 'test.py', 'dual.py', 'dual.pth',
                     *extra, cwd=tmp_path)
        assert result.returncode == 0, result.stdout[-3000:]
        assert f' {expected}: ' in result.stdout
    assert (tmp_path / 'out.pkl').exists()


def test_a_config_with_the_hook_keeps_its_own():
    own = dict(type='ResumableRandomnessHook', priority=10)
    cfg = Config(dict(custom_hooks=[own]))
    add_resumable_randomness(cfg)
    assert cfg.custom_hooks == [own]
    cfg = Config(dict(custom_hooks=[dict(type='EMAHook')]))
    add_resumable_randomness(cfg)
    assert [hook['type'] for hook in cfg.custom_hooks] == [
        'EMAHook', 'ResumableRandomnessHook']


def test_two_processes_train_and_test(tmp_path, demo_configs, free_port):
    """The shell scripts, over gloo on the CPU."""
    port = f'PORT={free_port}'
    result = run('env', port, 'bash', TOOLS / 'dist_train.sh',
                 demo_configs['fmse'], 2, '--work-dir', 'work', cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-3000:]
    assert 'Distributed launcher: pytorch' in result.stdout
    assert 'Epoch(val) [2]' in result.stdout
    # 6 people, 2 processes, 2 a batch
    state = torch.load(tmp_path / 'work' / 'epoch_2.pth')
    assert state['meta']['iter'] == 4
    result = run('env', port, 'bash', TOOLS / 'dist_test.sh',
                 demo_configs['fmse'], 'work/epoch_2.pth', 2, '--work-dir',
                 'work', cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-3000:]
    assert 'coco/AP' in result.stdout


def test_the_stock_tool_takes_the_config_that_a_training_wrote(
        tmp_path, demo_configs):
    """Also where the stock config did not import this package."""
    stock = Config.fromfile(demo_configs['mse'])
    stock.pop('custom_imports')
    stock.train_cfg.max_epochs = 1
    stock.dump(str(tmp_path / 'stock.py'))
    result = run(sys.executable, TOOLS / 'train.py', 'stock.py', '--work-dir',
                 'work', cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-3000:]
    result = run(sys.executable, stock_tool('test').__file__, 'work/stock.py',
                 'work/epoch_1.pth', cwd=tmp_path)
    assert result.returncode == 0, result.stdout[-3000:]
