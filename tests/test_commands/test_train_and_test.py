"""The commands that MMPose's users know, from the shell."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from mmpose_wloss import __main__
from mmpose_wloss.commands import test as test_command
from mmpose_wloss.commands import train
from mmpose_wloss.commands.arguments import (
    analyze_bad_cases,
    load_config,
    run_parser,
)
from mmpose_wloss.common.errors import UserError

import mmpose
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmpose.registry import HOOKS, MODELS, VISUALIZERS
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools'
STOCK = Path(mmpose.__file__).parent / '.mim' / 'tools'


def run(*command, cwd, status=0):
    environment = dict(os.environ, OMP_NUM_THREADS='1',
                       PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, text=True, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    assert result.returncode == status, result.stdout[-3000:]
    return result.stdout


@pytest.mark.parametrize('verb', ['train', 'test'])
def test_the_arguments_are_those_of_mmpose(verb, tmp_path):
    if not STOCK.exists():
        pytest.skip('MMPose is installed without its tools')
    arguments = re.compile(r'--[a-z-]+')
    ours, stock = (set(arguments.findall(run(
        sys.executable, folder / f'{verb}.py', '--help', cwd=tmp_path)))
        for folder in (TOOLS, STOCK))
    assert ours - stock == ({'--log-to'} if verb == 'train' else set())
    assert ours > stock > {'--work-dir', '--cfg-options'} or ours == stock


def test_logs_go_to_more_backends(monkeypatch):
    monkeypatch.setattr(train, 'find_spec', {'tensorboard': 1, 'wandb': None}.get)
    shared = [dict(type='LocalVisBackend')]
    config = Config(dict(vis_backends=shared, visualizer=dict(
        type='Pose3DImageVisualizer', vis_backends=shared)))
    for _ in range(2):  # a second time changes nothing
        train.log_to(config, ['tensorboard'])
    assert config.visualizer.type == 'Pose3DImageVisualizer'
    assert [backend.type for backend in config.visualizer.vis_backends] == [
        'LocalVisBackend', 'TensorboardVisBackend']
    assert len(config.vis_backends) == 1
    config = Config(dict())
    train.log_to(config, ['tensorboard'])
    assert VISUALIZERS.get(config.visualizer.type)
    assert len(config.visualizer.vis_backends) == 2
    with pytest.raises(UserError, match='pip install wandb'):
        train.log_to(config, ['wandb'])


def test_bad_cases_are_shown_by_their_own_hook(tmp_path):
    file = tmp_path / 'config.py'
    file.write_text("""
default_hooks = dict(visualization=dict(enable=False), badcase=dict(enable=False))
test_evaluator = dict(type='PCKAccuracy')
model = dict(head=dict(loss=dict(type='KeypointMSELoss')))
""")
    parser = run_parser('test', '')
    parser.add_argument('--badcase', action='store_true')
    for arguments, shown, bad in (
            (['--show', '--wait-time', '3'], dict(show=True, wait_time=3.), False),
            (['--show', '--badcase'], None, True),
            (['--show-dir', 'out', '--badcase'], dict(show=False), True)):
        args = parser.parse_args([str(file), *arguments])
        cfg = load_config(args)
        drawing = cfg.default_hooks.visualization
        assert drawing.enable is (shown is not None)
        assert dict(drawing, **shown or {}) == drawing
        if args.badcase:
            analyze_bad_cases(cfg, args)
        assert cfg.default_hooks.badcase.enable is bad


@pytest.mark.parametrize('model', [
    dict(type='PoseDual', network=dict(head=dict(loss=dict(type='FocusMSELoss')))),
    dict(head=dict(type='IntegralPose3DHead')),
    dict(head=dict(loss=dict(type='FocusMSELoss')))],
    ids=['wrapped', 'no loss', 'loss of heatmaps'])
def test_bad_cases_are_far_off_in_pixels(tmp_path, model):
    file = tmp_path / 'config.py'
    head = f'model = {model}\n'
    file.write_text(head)
    args = run_parser('test', '').parse_args([str(file)])
    with pytest.raises(UserError, match='badcase') as error:
        analyze_bad_cases(load_config(args), args)
    # the line that the error tells to add
    line = str(error.value).partition('Add ')[2]
    file.write_text(head + line)
    cfg = load_config(args)
    analyze_bad_cases(cfg, args)
    PoseLocalVisualizer.get_instance('bad cases')
    hook = HOOKS.build(cfg.default_hooks.badcase)
    joints = np.full((1, 3, 2), 100., np.float32)
    assert hook.check_badcase(None, PoseDataSample(
        gt_instances=InstanceData(
            keypoints=joints, keypoints_visible=np.ones((1, 3), np.float32)),
        pred_instances=InstanceData(keypoints=joints + 3))) == (True, 9.)


def test_an_error_that_a_user_can_mend_has_no_traceback(tmp_path):
    text = run(sys.executable, '-m', 'mmpose_wloss', 'train',
               ROOT / 'configs' / 'hrnet_fmse_coco.py', cwd=tmp_path, status=1)
    assert 'train_dataloader.dataset.ann_file: data/coco/annotations' in text
    assert text.startswith('error: ') and 'Traceback' not in text
    assert not list(tmp_path.iterdir())
    text = run(sys.executable, '-m', 'mmpose_wloss', 'trian', cwd=tmp_path,
               status=2)
    assert 'curriculum' in text


def test_a_work_directory_that_is_a_file(tmp_path, demo_configs):
    (tmp_path / 'work').touch()
    parser = run_parser('train', '')
    with pytest.raises(UserError, match='work is a file'):
        load_config(parser.parse_args([
            str(demo_configs['mse']), '--work-dir', str(tmp_path / 'work')]))


def test_a_checkpoint_of_another_model_is_not_evaluated(tmp_path, demo_configs):
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), tmp_path / 'x.pth')
    text = run(sys.executable, '-m', 'mmpose_wloss', 'test', demo_configs['mse'],
               'x.pth', cwd=tmp_path, status=1)
    assert 'error: x.pth is of another model' in text.splitlines()[-1]
    assert 'Traceback' not in text


def test_processes_that_are_spawned_load_data(tmp_path, demo_configs):
    run(sys.executable, '-m', 'mmpose_wloss', 'train', demo_configs['mse'],
        '--no-validate', '--cfg-options', 'train_cfg.max_epochs=1',
        'train_dataloader.num_workers=1', 'env_cfg.mp_cfg.mp_start_method=spawn',
        cwd=tmp_path)
    assert list(tmp_path.glob('work_dirs/mse/epoch_1.pth'))


@pytest.mark.parametrize('error, dev_mode, caught', [
    (UserError('mend it'), False, True), (UserError('mend it'), True, False),
    (OSError('full'), False, True), (RuntimeError('a bug'), False, False)])
def test_development_mode_shows_where(monkeypatch, capsys, error, dev_mode, caught):
    def fail(arguments):
        raise error

    monkeypatch.setattr(train, 'main', fail)
    monkeypatch.setattr(__main__, 'sys', SimpleNamespace(
        flags=SimpleNamespace(dev_mode=dev_mode), stderr=sys.stderr))
    if caught:
        assert __main__.run('train', []) == 1
        assert capsys.readouterr().err == f'error: {error}\n'
    else:
        with pytest.raises(type(error)):
            __main__.run('train', [])


def test_two_processes_train_and_test(tmp_path, demo_configs, free_port):
    """The shell scripts, over gloo on the CPU."""
    port = f'PORT={free_port}'
    text = run('env', port, 'bash', TOOLS / 'dist_train.sh',
               demo_configs['fmse'], 2, '--work-dir', 'work', cwd=tmp_path)
    assert 'Distributed launcher: pytorch' in text
    assert 'Epoch(val) [2]' in text
    # 6 people, 2 processes, 2 a batch
    state = torch.load(tmp_path / 'work' / 'epoch_2.pth')
    assert state['meta']['iter'] == 4
    run('env', port, 'bash', TOOLS / 'dist_test.sh', demo_configs['fmse'],
        'work/epoch_2.pth', 2, '--work-dir', 'work', '--out', 'figures.json',
        cwd=tmp_path)
    assert 'coco/AP' in json.loads((tmp_path / 'figures.json').read_text())


def test_the_stock_tool_takes_the_config_that_a_training_wrote(
        tmp_path, demo_configs):
    """Also where the stock config did not import this package."""
    if not STOCK.exists():
        pytest.skip('MMPose is installed without its tools')
    stock = Config.fromfile(demo_configs['mse'])
    stock.pop('custom_imports')
    stock.train_cfg.max_epochs = 1
    stock.dump(str(tmp_path / 'stock.py'))
    run(sys.executable, TOOLS / 'train.py', 'stock.py', '--work-dir', 'work',
        '--no-validate', cwd=tmp_path)
    assert torch.load(tmp_path / 'work' / 'epoch_1.pth')['optimizer']
    run(sys.executable, '-c', 'import mmpose_wloss, runpy, sys; '
        f'sys.argv.pop(0); runpy.run_path({str(STOCK / "test.py")!r}, '
        'run_name="__main__")', STOCK / 'test.py', 'work/stock.py',
        'work/epoch_1.pth', cwd=tmp_path)


@pytest.mark.parametrize('arguments', [
    ('--out', 'figures.txt'), ('--out', 'figures'), ('--dump', 'predictions.json')])
def test_files_of_unknown_formats_are_refused_before_the_test(
        tmp_path, demo_configs, arguments):
    checkpoint = tmp_path / 'x.pth'
    checkpoint.touch()
    with pytest.raises(UserError, match='.*'.join(arguments)):
        test_command.main([str(demo_configs['mse']), str(checkpoint), *arguments])


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
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(config.model).state_dict()),
               tmp_path / 'dual.pth')
    text = run(sys.executable, TOOLS / 'test.py', 'dual.py', 'dual.pth',
               '--dump', 'out.pkl', cwd=tmp_path)
    assert ' PCK: ' in text
    assert (tmp_path / 'out.pkl').exists()
