"""Configs that ``recipe`` writes: few lines, equal to what a function gives."""

from mmpose_wloss.commands.recipe import load_base, main
from mmpose_wloss.common.config_text import without_scope
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.recipes import (
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
from mmengine.config import Config

BODY = 'mmpose::body_2d_keypoint'
STOCK = f'{BODY}/topdown_heatmap/coco/td-hm_shufflenetv2_8xb64-210e_coco-256x192.py'
DEKR = f'{BODY}/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py'
BOXES = dict(ann_file='images.json', bbox_file='boxes.json', data_root='',
             data_prefix=dict(img='my'))
COMMANDS = {
    f'semi {STOCK} --images my/images --batch-size 16 --options '
    'teacher.type=ExponentialMovingAverage teacher.momentum=0.01': lambda cfg:
        semi_supervised(cfg, 'my/images', batch_size=16, teacher=dict(
            type='ExponentialMovingAverage', momentum=0.01)),
    f'semi {STOCK} --images images.json --boxes boxes.json --image-folder my '
    '--labels few.json --method PoseCons --options teacher=eval': lambda cfg:
        semi_supervised(cfg, BOXES, 'PoseCons', 'few.json', teacher='eval'),
    f'distill {STOCK} --teacher teacher.py --checkpoint t.pth': lambda cfg:
        distill(cfg, 'teacher.py', 't.pth'),
    f'distill {STOCK} --teacher teacher.py --checkpoint t.pth --labels few.json '
    '--batch-size 7': lambda cfg: distill(
        cfg, 'teacher.py', 't.pth', labels='few.json', batch_size=7),
    f'weigh {STOCK} --file w.npz --options bandwidth=0.6': lambda cfg:
        weigh_poses(cfg, 'w.npz', bandwidth=0.6),
    f'draw {STOCK} --options mode=repeat_factor': lambda cfg:
        draw_rare_poses(cfg, mode='repeat_factor'),
    f'focus {STOCK} --options gamma=2.': lambda cfg:
        focus_heatmaps(cfg, dict(type='FocusMSELoss', gamma=2.)),
    f'weigh {STOCK} --file w.npz --device-targets': lambda cfg:
        device_targets(weigh_poses(cfg, 'w.npz')),
    f'semi {STOCK} --images my --cache ram': lambda cfg:
        cache_crops(semi_supervised(cfg, 'my'), 'ram'),
    f'focus {STOCK} --cache disk': lambda cfg: cache_crops(focus_heatmaps(cfg)),
    f'semi {STOCK} --images my --device-targets': lambda cfg:
        semi_supervised(device_targets(cfg), 'my'),
    f'balance {DEKR} --terms loss/heatmap loss/displacement '
    '--balancer GradNormBalancer': lambda cfg:
        balance(cfg, 'GradNormBalancer', ['loss/heatmap', 'loss/displacement']),
    f'balance {DEKR} --balancer ManualBalancer --options balancer.ratios.a=1': lambda
        cfg: balance(cfg, dict(type='ManualBalancer', ratios=dict(a=1))),
}


@pytest.mark.parametrize('command', COMMANDS)
def test_the_written_file_is_what_the_function_gives(command, tmp_path, capsys):
    out = tmp_path / 'mine.py'
    assert main([*command.split(), '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    assert f'python -m mmpose_wloss train {out}' in printed
    assert ('density fit' in printed) is command.startswith(('weigh', 'draw'))
    base = load_base(command.split()[1])
    expected, written = COMMANDS[command](base), Config.fromfile(out)
    assert without_scope(written.to_dict()) == without_scope(expected.to_dict())
    assert len(out.read_text().splitlines()) < 45
    # and once more through the config that a training writes
    written.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == written.to_dict()


def test_recipes_follow_one_another(tmp_path):
    first, second = tmp_path / 'first.py', tmp_path / 'in' / 'second.py'
    main(['focus', STOCK, '--out', str(first)])
    main(['semi', str(first), '--images', 'my', '--out', str(second)])
    expected = semi_supervised(focus_heatmaps(load_base(STOCK)), 'my')
    assert without_scope(Config.fromfile(second).to_dict()) == without_scope(
        expected.to_dict())


def test_a_file_is_overwritten_by_force_only(tmp_path):
    out = tmp_path / 'mine.py'
    out.write_text('mine')
    with pytest.raises(UserError, match='--force'):
        main(['focus', STOCK, '--out', str(out)])
    assert out.read_text() == 'mine'
    assert main(['focus', STOCK, '--out', str(out), '--force']) == 0
    # and never what the config consists of
    over = tmp_path / 'over.py'
    over.write_text("_base_ = 'mine.py'\n")
    for base in (out, over):
        with pytest.raises(UserError, match='--out'):
            main(['weigh', str(base), '--out', str(out), '--force'])
    with pytest.raises(UserError, match='mine.txt'):
        main(['focus', STOCK, '--out', str(tmp_path / 'mine.txt')])


@pytest.mark.parametrize('command, named', [
    (f'semi {STOCK} --images my --options nosuch=3', 'nosuch'),
    (f'distill {STOCK} --teacher t.py --checkpoint t.pth --options nosuch=3',
     'nosuch'),
    (f'weigh {STOCK} --options bandwith=0.2', 'bandwith'),
    (f'balance {DEKR} --options nosuch=3', 'nosuch'),
    (f'balance {DEKR} --device-targets', 'SPR'),
    (f'balance {DEKR} --cache ram', 'top-down'),
    (f'balance {DEKR} --balancer Adaptive', 'AdaptiveBalancer'),
    (f'focus {STOCK} --loss FocusMSE', 'FocusMSELoss'),
    (f'distill {STOCK} --teacher t.py --checkpoint t.pth --boxes b.json', '--images'),
    (f'semi {STOCK} --images my/images --boxes b.json', 'my/images'),
    (f'semi {STOCK} --images my/images --image-folder my', 'my/images'),
    (f'distill {STOCK} --teacher t.py --checkpoint t.pth --batch-size 0',
     'batch_size')])
def test_what_a_recipe_does_not_take_is_named(command, named, tmp_path):
    with pytest.raises(UserError, match=named):
        main([*command.split(), '--out', str(tmp_path / 'mine.py')])


def test_files_are_looked_for_here_and_below_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ('here.json', 'data/coco/there.json', 'data/coco/both.json',
                 'both.json'):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for given, expected in (('here.json', '../../here.json'),
                            ('there.json', 'there.json'),
                            ('both.json', 'both.json'),
                            ('data/coco/there.json', 'there.json')):
        cfg = semi_supervised(load_base(STOCK), given, labels=given)
        assert cfg.labeled.ann_file == cfg.unlabeled.ann_file == expected


def test_it_says_what_else_changes(tmp_path, capsys):
    base = f'{BODY}/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'
    out = tmp_path / 'mine.py'
    main(['semi', base, '--images', 'my', '--out', str(out)])
    printed = capsys.readouterr().out
    for text in (printed, out.read_text()):
        assert 'EMAHook, PipelineSwitchHook' in text
        assert '256 images, 128 of them labeled' in text
    # what is not there is said when the file is written
    assert 'data_prefix.img: my\n' in printed


def test_commands_name_the_written_file(tmp_path, capsys):
    """Not the one that a stock config was inherited by, which is gone."""
    out, density = tmp_path / 'mine.py', tmp_path / 'none.npz'
    main(['draw', STOCK, '--file', str(density), '--out', str(out)])
    missing = capsys.readouterr().out.partition('Before it can train')[2]
    assert f'density fit {out}\n' in missing


def test_a_folder_without_images_is_told_before_it_trains(tmp_path, capsys):
    images = tmp_path / 'images'
    images.mkdir()
    main(['semi', STOCK, '--images', str(images), '--out', str(tmp_path / 'mine.py')])
    assert f'Before it can train: {images} has no image' in capsys.readouterr().out


@pytest.mark.parametrize('base', ['none.py', 'mmpose::body_2d_keypoint/none.py'])
def test_a_base_that_is_not_there_is_named(base, tmp_path):
    with pytest.raises((UserError, OSError), match='none'):
        main(['focus', base, '--out', str(tmp_path / 'mine.py')])
