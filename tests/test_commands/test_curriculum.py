import json
import runpy
import shutil
import sys
from pathlib import Path

from mmpose_wloss.commands.curriculum import Curriculum, WrongStages
from mmpose_wloss.preflight import MissingFile
from mmpose_wloss.trainings import Training, run_trainings

import pytest
import torch
from mmengine.config import Config

ROOT = Path(__file__).parents[2]
DEMO = ROOT / 'configs' / 'demo'
NAMES = ('h1_d4', 'i1_d8', 'i1_d16')
EPOCHS = dict(h1_d4=1, i1_d8=2, i1_d16=1)
GROWTH = "model = dict(head=dict(depth_growth='interpolate'))\n"


def write_config(folder: Path, name: str, base: str, epochs: int,
                 more: str = '') -> str:
    file = folder / f'{name}.py'
    file.write_text(f"""
_base_ = {str(DEMO / f'integral3d_{base}_annypose.py')!r}
train_cfg = dict(max_epochs={epochs}, val_interval=1)
train_dataloader = dict(batch_size=3)
default_hooks = dict(logger=dict(interval=1))
{more}
""")
    return str(file)


@pytest.fixture(scope='module')
def configs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('configs')
    return [write_config(folder, name, name, EPOCHS[name],
                         GROWTH if name == 'i1_d8' else '')
            for name in NAMES]


@pytest.fixture(scope='module')
def options(coco_root):
    places = {}
    for loader, split in (('train', 'train2017'), ('val', 'val2017')):
        key = f'{loader}_dataloader.dataset'
        places |= {
            f'{key}.data_root': str(coco_root),
            f'{key}.ann_file': f'annotations/person_keypoints_{split}.json',
            f'{key}.data_prefix.img': f'{split}/'}
    return places


@pytest.fixture(scope='module')
def chain(configs, options, tmp_path_factory):
    """Two stages in one go, by the tool."""
    work_dir = tmp_path_factory.mktemp('chain')
    argv = sys.argv
    sys.argv = ['train_curriculum.py', *configs[:2], '--work-dir',
                str(work_dir), '--cfg-options',
                *(f'{key}={value}' for key, value in options.items())]
    try:
        runpy.run_path(str(ROOT / 'tools' / 'train_curriculum.py'),
                       run_name='__main__')
    finally:
        sys.argv = argv
    return Curriculum(configs[:2], work_dir, options)


def weights(training: Training) -> dict:
    return torch.load(training.checkpoint()[1])['state_dict']


def test_each_stage_starts_from_the_one_before(chain):
    first, second = chain.stages
    assert first.done() and second.done()
    written = Config.fromfile(second.work_dir / 'config.py')
    assert written.load_from == str(first.checkpoint()[1])
    assert ('depth_growth: the volume layer of d2 = 8 was interpolated from '
            'd2 = 4') in (second.work_dir / 'output.txt').read_text()
    assert 'depth_growth:' not in (first.work_dir / 'output.txt').read_text()


def test_the_report_shows_every_stage(chain):
    stages = json.loads(
        (chain.work_dir / 'curriculum.json').read_text())['stages']
    assert [(stage['d2'], stage['mode'], stage['epochs'], stage['epoch'])
            for stage in stages] == [
                (4, 'H1', 1, 1), (8, 'I1', 2, 2)]
    assert stages[1]['starts_from'] == stages[0]['checkpoint']
    report = (chain.work_dir / 'curriculum.md').read_text()
    for stage, training in zip(stages, chain.stages, strict=True):
        figures = training.validations()[training.epochs]
        assert stage['MPJPE'] == figures['MPJPE'] > 0
        assert stage['P-MPJPE'] == figures['P-MPJPE'] > 0
        assert f"{stage['MPJPE']:.1f}" in report
        assert stage['checkpoint'] in report
    assert (chain.work_dir / 'curriculum.png').stat().st_size > 1000


def test_what_is_done_is_not_trained_again(chain):
    before = [(stage.work_dir / 'output.txt').stat().st_mtime_ns
              for stage in chain.stages]
    chain.train()
    assert before == [(stage.work_dir / 'output.txt').stat().st_mtime_ns
                      for stage in chain.stages]


def test_interrupted_it_ends_with_the_same_weights(
        chain, configs, options, tmp_path):
    parts = Curriculum(configs[:2], tmp_path, options)
    assert ([stage.work_dir.name for stage in parts.stages] ==
            [stage.work_dir.name for stage in chain.stages])
    # as it was in the second epoch of the second stage
    for stage, whole in zip(parts.stages, chain.stages, strict=True):
        shutil.copytree(whole.work_dir, stage.work_dir)
    second = parts.stages[1]
    log, = second.work_dir.glob('*/vis_data/scalars.json')
    lines = log.read_text().splitlines(keepends=True)
    validated = ['epoch' not in json.loads(line) for line in lines]
    log.write_text(''.join(lines[:validated.index(True) + 1]))
    (second.work_dir / 'epoch_2.pth').unlink()
    (second.work_dir / 'last_checkpoint').write_text(
        str(second.work_dir / 'epoch_1.pth'))
    assert list(second.validations()) == [1] and not second.done()

    parts.train()
    assert 'Auto resumed from the latest checkpoint' in (
        second.work_dir / 'output.txt').read_text()
    assert parts.rows()[1]['MPJPE'] == chain.rows()[1]['MPJPE']
    one, other = weights(chain.stages[1]), weights(parts.stages[1])
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_changed_stage_changes_the_later_ones(configs, options, tmp_path):
    names = [stage.work_dir.name
             for stage in Curriculum(configs, tmp_path, options).stages]
    changed = write_config(tmp_path, 'i1_d8', 'i1_d8', 2,
                           f'{GROWTH}randomness = dict(seed=7)')
    others = [stage.work_dir.name for stage in Curriculum(
        [configs[0], changed, configs[2]], tmp_path, options).stages]
    assert others[0] == names[0]
    assert others[1] != names[1] and others[2] != names[2]


def test_depth_must_not_shrink(configs, options, tmp_path):
    with pytest.raises(WrongStages, match=r'h1_d4\.py has d2 = 4, and '
                       r'.*i1_d8\.py.* d2 = 8: depth must not shrink'):
        Curriculum([configs[1], configs[0]], tmp_path, options)


def test_growth_must_be_said(configs, options, tmp_path):
    plain = write_config(tmp_path, 'plain_d16', 'i1_d16', 1,
                         'model = dict(head=dict(depth_growth=None))')
    with pytest.raises(WrongStages, match=r"plain_d16\.py has d2 = 16, and "
                       r".*h1_d4\.py.* = 4: set model.head.depth_growth"):
        Curriculum([configs[0], plain], tmp_path, options)


def test_networks_must_be_the_same(configs, options, tmp_path):
    other = write_config(
        tmp_path, 'wider', 'i1_d8', 1,
        'model = dict(backbone=dict(base_channels=32), '
        'head=dict(in_channels=256))')
    with pytest.raises(WrongStages, match=r'wider\.py cannot start from a '
                       r'checkpoint of .*h1_d4\.py.*backbone\.\S+ is \(24, '):
        Curriculum([configs[0], other], tmp_path, options)


def test_a_stage_needs_the_3d_head(configs, options, tmp_path):
    with pytest.raises(WrongStages, match='model.head is HeatmapHead'):
        Curriculum([configs[0], str(DEMO / 'resnet18_mse_annypose.py')],
                   tmp_path, options)


def test_missing_files_are_told_before_anything_trains(configs, options,
                                                       tmp_path):
    with pytest.raises(MissingFile, match='There is no config'):
        Curriculum([configs[0], 'none.py'], tmp_path, options)
    root = {'train_dataloader.dataset.data_root': str(tmp_path / 'none')}
    with pytest.raises(MissingFile, match='none/annotations'):
        Curriculum(configs, tmp_path, options | root)


@pytest.fixture
def small(tmp_path):
    """A config with what a training itself looks at."""
    file = tmp_path / 'small.py'
    file.write_text(f"""
train_cfg = dict(max_epochs=3, val_interval=1)
train_dataloader = dict(dataset=dict(ann_file='small.py', data_root={str(tmp_path)!r}))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
""")
    return str(file)


@pytest.mark.parametrize(('hook', 'name', 'epoch'), [
    (dict(), 'epoch_3', 3),
    (dict(save_best='MPJPE', rule='less'), 'best_MPJPE_epoch_2', 2),
    (dict(save_best='auto', rule='less'), 'best_MPJPE_epoch_2', 2),
    (dict(save_best='coco/AP', rule='greater'),
     'best_coco_AP_epoch_1', 1)])
def test_the_checkpoint_to_go_on_from(small, tmp_path, hook, name, epoch):
    training = Training(small, tmp_path, {
        f'default_hooks.checkpoint.{key}': value
        for key, value in hook.items()})
    log = training.work_dir / '20200101' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(
        json.dumps({'MPJPE': mpjpe, 'coco/AP': precision, 'step': step}) + '\n'
        for step, mpjpe, precision in ((1, 90., 0.5), (2, 70., 0.4),
                                       (3, 80., 0.3))))
    for file in ('epoch_2', 'epoch_3', 'best_MPJPE_epoch_1',
                 'best_MPJPE_epoch_2', 'best_coco_AP_epoch_1'):
        (training.work_dir / f'{file}.pth').touch()
    assert training.checkpoint() == (epoch, training.work_dir / f'{name}.pth')


@pytest.mark.parametrize(('kept', 'last', 'validated', 'left'), [
    ((1, 2), 2, (1, ), 1),  # its validation was interrupted
    ((1, 2), 2, (1, 2), 2),
    ((2, 3), 3, (1, 2), 2),
    ((3, ), 3, (1, 2), None),
    ((2, ), 2, (1, ), 2)])  # nothing to go back to
def test_an_epoch_without_its_validation_is_trained_again(
        small, tmp_path, kept, last, validated, left):
    training = Training(small, tmp_path)
    log = training.work_dir / '20200101' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(
        json.dumps(dict(MPJPE=80., step=step)) + '\n' for step in validated))
    for epoch in kept:
        torch.save({}, training.work_dir / f'epoch_{epoch}.pth')
    pointer = training.work_dir / 'last_checkpoint'
    pointer.write_text(str(training.work_dir / f'epoch_{last}.pth'))
    training._forget_unvalidated()
    if left is None:
        assert not pointer.exists()
    else:
        assert pointer.read_text().endswith(f'epoch_{left}.pth')
    assert (training.work_dir / f'epoch_{last}.pth').exists() == (
        left == last)


@pytest.mark.parametrize(('kept', 'cut_off', 'left'), [
    ((), None, None),
    ((1, 2), None, 2),
    ((1, ), 2, 1),  # killed again, as it wrote
    ((), 4, None)])
def test_a_last_checkpoint_that_is_gone(small, tmp_path, kept, cut_off, left,
                                        monkeypatch):
    training = Training(small, tmp_path, {'train_cfg.max_epochs': 5})
    training.work_dir.mkdir()
    log = training.work_dir / '20200101' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(
        json.dumps(dict(MPJPE=80., step=step)) + '\n' for step in kept))
    whole = training.work_dir / 'epoch_3.pth'
    torch.save(dict(meta=dict()), whole)
    for epoch in kept:
        shutil.copy(whole, training.work_dir / f'epoch_{epoch}.pth')
    if cut_off:
        (training.work_dir / f'epoch_{cut_off}.pth').write_bytes(
            whole.read_bytes()[:-30])
    whole.unlink()
    pointer = training.work_dir / 'last_checkpoint'
    pointer.write_text(str(whole))
    commands = []
    monkeypatch.setattr('mmpose_wloss.trainings.subprocess.Popen',
                        lambda command, **_: commands.append(command))
    training.start(threads=1)
    assert ('--resume' in commands[0]) == (left is not None)
    if left is None:
        assert not pointer.exists()
    else:
        assert pointer.read_text() == str(
            training.work_dir / f'epoch_{left}.pth')


def test_several_processes_train_a_stage(configs, options, tmp_path,
                                         monkeypatch):
    """The launcher starts the tool; that this trains, test_launch proves."""
    stage, = Curriculum(configs[:1], tmp_path, options, processes=2).stages
    assert stage.work_dir != Curriculum(
        configs[:1], tmp_path, options).stages[0].work_dir
    monkeypatch.setattr('mmpose_wloss.trainings.TRAIN_TOOL', '''
import json, os, sys
config, _, work_dir, *more = sys.argv[1:]
with open(f'{work_dir}/{os.environ["RANK"]}.json', 'w') as file:
    json.dump([config, os.environ['WORLD_SIZE'], *more], file)
''')
    run_trainings([stage])
    for rank in range(2):
        assert json.loads((stage.work_dir / f'{rank}.json').read_text()) == [
            str(stage.work_dir / 'config.py'), '2', '--launcher', 'pytorch']
