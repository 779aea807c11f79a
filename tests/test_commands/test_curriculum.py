import json
import multiprocessing
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

from mmpose_wloss.apis.growing_depth import make_stages
from mmpose_wloss.commands import train
from mmpose_wloss.commands.curriculum import main
from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.trainings import Training, run_trainings
from mmpose_wloss.visualization import Pose3DImageVisualizer

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
GROWTH = "model = dict(head=dict(depth_growth='interpolate'))"


def write_config(folder: Path, name: str, base: str, epochs: int = 1,
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
def configs(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp('configs')
    return [write_config(folder, 'h1_d4', 'h1_d4'),
            write_config(folder, 'i1_d8', 'i1_d8', 2, GROWTH),
            write_config(folder, 'i1_d16', 'i1_d16')]


@pytest.fixture(scope='module')
def options(coco_root) -> dict:
    places = {}
    for loader, split in (('train', 'train2017'), ('val', 'val2017')):
        key = f'{loader}_dataloader.dataset'
        places |= {
            f'{key}.data_root': str(coco_root),
            f'{key}.ann_file': f'annotations/person_keypoints_{split}.json',
            f'{key}.data_prefix.img': f'{split}/'}
    return places


@pytest.fixture(scope='module', autouse=True)
def forked_trainings():
    """Processes that train are forked: they import nothing anew."""
    def start(command, stdout, **_):
        def run():
            sys.stdout = sys.stderr = stdout
            for kind in (MMLogger, MessageHub, Pose3DImageVisualizer):
                kind._instance_dict.clear()  # as in a new process
            sys.exit(train.main(command[command.index('train') + 1:]))

        process = multiprocessing.get_context('fork').Process(target=run)
        process.start()
        return SimpleNamespace(poll=lambda: process.exitcode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmpose_wloss.trainings.subprocess',
                      SimpleNamespace(Popen=start, STDOUT=None))
        yield


@pytest.fixture(scope='module')
def work_dir(configs, options, tmp_path_factory) -> Path:
    """Where two stages were trained in one go."""
    folder = tmp_path_factory.mktemp('stages')
    arguments = [*configs[:2], '--work-dir', str(folder), '--cfg-options',
                 *(f'{key}={value}' for key, value in options.items())]
    assert main(arguments) == 0
    before = {file: file.stat().st_mtime_ns for file in folder.glob('*/output.txt')}
    # what is done is not trained again
    assert main(arguments) == 0
    assert len(before) == 2
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    return folder


@pytest.fixture(scope='module')
def stages(work_dir, configs, options):
    return make_stages(configs[:2], str(work_dir), options)


def weights(training: Training) -> dict:
    return torch.load(training.checkpoint()[1])['state_dict']


def test_each_stage_starts_from_the_one_before(stages):
    first, second = stages
    assert first.done() and second.done()
    written = Config.fromfile(second.work_dir / 'config.py')
    assert written.load_from == str(first.checkpoint()[1])
    assert ('depth_growth: the volume layer of d2 = 8 was interpolated from '
            'd2 = 4') in (second.work_dir / 'output.txt').read_text()
    assert 'depth_growth:' not in (first.work_dir / 'output.txt').read_text()


def test_the_report_shows_every_stage(stages, work_dir):
    rows = json.loads((work_dir / 'curriculum.json').read_text())['stages']
    assert [(row['d2'], row['mode'], row['epochs'], row['epoch'])
            for row in rows] == [(4, 'H1', 1, 1), (8, 'I1', 2, 2)]
    assert rows[1]['starts_from'] == rows[0]['checkpoint']
    report = (work_dir / 'curriculum.md').read_text()
    for row, training in zip(rows, stages, strict=True):
        figures = training.validations()[training.epochs]
        assert row['MPJPE'] == figures['MPJPE'] > 0
        assert row['P-MPJPE'] == figures['P-MPJPE'] > 0
        assert f"{row['MPJPE']:.1f}" in report
        assert row['checkpoint'] in report
    assert (work_dir / 'curriculum.png').stat().st_size > 1000


def test_interrupted_it_ends_with_the_same_weights(stages, configs, options, tmp_path):
    parts = make_stages(configs[:2], str(tmp_path), options)
    assert ([stage.work_dir.name for stage in parts] ==
            [stage.work_dir.name for stage in stages])
    # as it was in the second epoch of the second stage
    for stage, whole in zip(parts, stages, strict=True):
        shutil.copytree(whole.work_dir, stage.work_dir)
    second = parts[1]
    log, = second.work_dir.glob('*/vis_data/scalars.json')
    lines = log.read_text().splitlines(keepends=True)
    validated = ['epoch' not in json.loads(line) for line in lines]
    log.write_text(''.join(lines[:validated.index(True) + 1]))
    (second.work_dir / 'epoch_2.pth').unlink()
    assert list(second.validations()) == [1] and not second.done()

    run_trainings(parts[1:])
    assert second.validations() == stages[1].validations()
    one, other = weights(stages[1]), weights(second)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_changed_stage_changes_the_later_ones(configs, options, tmp_path):
    changed = write_config(tmp_path, 'i1_d8', 'i1_d8', 2,
                           f'{GROWTH}\nrandomness = dict(seed=7)')
    names, others = ([stage.work_dir.name for stage in make_stages(
        paths, str(tmp_path), options)] for paths in (
            configs, [configs[0], changed, configs[2]]))
    assert [name == other for name, other in zip(
        names, others, strict=True)] == [True, False, False]


@pytest.mark.parametrize('name, base, more, named', [
    ('d2', 'i1_d8', 'codec = dict(heatmap_size=(32, 32, 2))\n'
     'model = dict(head=dict(decoder=dict(heatmap_size=(32, 32, 2))))',
     'd2 = 2, .*d2 = 4'),
    ('plain', 'i1_d16', 'model = dict(head=dict(depth_growth=None))',
     'plain.*d2 = 16.*h1_d4.*d2 = 4.*depth_growth'),
    ('wider', 'i1_d8', 'model = dict(backbone=dict(base_channels=32), '
     'head=dict(in_channels=256))', r'h1_d4(.|\n)*backbone\.\S+: \(24,(.|\n)*wider'),
    ('joints', 'i1_d8', 'model = dict(head=dict(out_channels=16))',
     r'head\.volume_layer\.weight: \(17, (.|\n)*joints'),
    ('head', 'i1_d8', "model = dict(head=dict(type='HeatmapHead'))",
     'HeatmapHead')])
def test_stages_that_do_not_fit(configs, options, tmp_path, name, base, more, named):
    other = write_config(tmp_path, name, base, 1, more)
    with pytest.raises(UserError, match=named):
        make_stages([configs[0], other], str(tmp_path), options)


def test_missing_files_are_told_before_anything_trains(configs, options, tmp_path):
    with pytest.raises(MissingFile, match='none.py'):
        make_stages([configs[0], 'none.py'], str(tmp_path), options)
    with pytest.raises(UserError, match='train_cfg'):
        make_stages(configs, str(tmp_path), options | {'trian_cfg.max_epochs': 1})
    root = {'train_dataloader.dataset.data_root': str(tmp_path / 'none')}
    with pytest.raises(MissingFile, match='none/annotations'):
        make_stages(configs, str(tmp_path), options | root)
