import hashlib
import json
import os
import re
import signal
import time
import zipfile
from pathlib import Path

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.trainings import (
    RUN_MODULE,
    Training,
    TrainingFailed,
    run_trainings,
)

import pytest

# writes what a training writes, an epoch in so many seconds
TRAINER = r'''
import json, os, re, sys, time, zipfile
from pathlib import Path

config, _, work_dir, *more = sys.argv[1:]
content = Path(config).read_text()
epochs = int(re.search(r'max_epochs=(\d+)', content)[1])
seconds = float(re.search(r'seconds = (\S+)', content)[1])
first = 1
if '--resume' in more:
    first += int(re.search(r'epoch_(\d+)', more[more.index('--resume') + 1])[1])
rank = os.environ.get('RANK', '0')
Path(work_dir, f'{rank}.json').write_text(json.dumps(
    [first, os.environ.get('WORLD_SIZE', '1'), 'pytorch' in more, content]))
log = Path(work_dir, str(time.time()), 'vis_data', 'scalars.json')
log.parent.mkdir(parents=True)
with open(log, 'w') as file:
    for epoch in range(first, epochs + 1):
        time.sleep(seconds)
        print(json.dumps(dict(epoch=epoch, step=epoch)), file=file, flush=True)
        with zipfile.ZipFile(f'{work_dir}/epoch_{epoch}.pth', 'w') as weights:
            weights.writestr('weights', '')
        print(json.dumps(dict(MPJPE=90., step=epoch)), file=file, flush=True)
time.sleep(seconds)
'''


@pytest.fixture
def config(tmp_path) -> str:
    """A config with what a training itself looks at."""
    (tmp_path / 'data.json').write_text('{}')
    file = tmp_path / 'small.py'
    file.write_text(f"""
train_cfg = dict(max_epochs=3, val_interval=1)
train_dataloader = dict(dataset=dict(
    ann_file='data.json', data_root={str(tmp_path)!r}))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
seconds = 0.0
seed = 0
""")
    return str(file)


@pytest.fixture
def trainer(tmp_path, monkeypatch) -> None:
    """A process that writes what a training writes, at once."""
    (tmp_path / 'trainer.py').write_text(TRAINER)
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(
        [str(tmp_path), os.environ.get('PYTHONPATH', '')]))
    monkeypatch.setattr('mmpose_wloss.trainings.TRAIN', [*RUN_MODULE, 'trainer'])


def started_with(training: Training, rank: int = 0) -> list:
    """First epoch, number of processes, launcher and config."""
    return json.loads((training.work_dir / f'{rank}.json').read_text())


def test_the_folder_is_named_after_config_and_annotations(config, tmp_path):
    def training(**options):
        return Training(config, tmp_path, options)

    one = training()
    digest = hashlib.sha256(
        json.dumps(one.config.to_dict(), sort_keys=True).encode() + b'{}')
    assert one.work_dir == tmp_path / f'small_{digest.hexdigest()[:8]}'
    other = tmp_path / 'other.json'
    other.write_text('[]')
    key = 'train_dataloader.dataset.ann_file'
    folders = [training().work_dir, training(seed=5).work_dir,
               training(**{key: str(other)}).work_dir,
               training(**{key: ['data.json', 'other.json']}).work_dir,
               Training(config, tmp_path, after=one).work_dir,
               Training(config, tmp_path, processes=2).work_dir]
    other.write_text('{}')
    folders += [training(**{key: ['data.json', 'other.json']}).work_dir]
    assert folders[0] == one.work_dir and len(set(folders)) == len(folders)


def test_trainings_without_epochs_are_refused(config, tmp_path):
    with pytest.raises(UserError, match='max_epochs'):
        Training(config, tmp_path, {'train_cfg.max_epochs': None})


def test_a_stopped_training_goes_on(config, tmp_path, trainer):
    training = Training(config, tmp_path, dict(seconds=0.5))
    training.start(threads=1)
    while not (training.work_dir / 'epoch_1.pth').exists():
        assert training.running()
        time.sleep(0.05)
    training.stop()
    assert not training.done() and training.epoch() == 1
    ended = []
    run_trainings([training], ended=lambda *which: ended.append(which))
    assert training.done() and started_with(training)[0] == 2
    assert set(training.validations()) == {1, 2, 3}
    (who, seconds), = ended
    assert who is training and seconds > 1


def test_several_processes_train_together(config, tmp_path, trainer):
    training = Training(config, tmp_path, processes=2)
    run_trainings([training])
    for rank in range(2):
        assert started_with(training, rank)[:3] == [1, '2', True]


def test_a_training_that_fails_is_told_with_its_log(config, tmp_path):
    """By the process that trains indeed."""
    with pytest.raises(TrainingFailed, match="has no 'model'"):
        run_trainings([Training(config, tmp_path)])


def test_no_training_is_started_after_the_deadline(config, tmp_path):
    late = Training(config, tmp_path)
    run_trainings([late], deadline=time.monotonic() - 1)
    assert late.process is None and not late.work_dir.exists()


def test_trainings_end_with_the_process_that_started_them(config, tmp_path, trainer):
    training = Training(config, tmp_path, dict(seconds=100))
    pid = tmp_path / 'pid'
    parent = os.fork()
    if parent == 0:
        try:
            training.start(threads=1)
            pid.write_text(str(training.process.pid))
            time.sleep(60)
        finally:
            os._exit(0)
    while not pid.exists() or not pid.read_text():
        time.sleep(0.1)
    child = Path('/proc', pid.read_text())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    deadline = time.monotonic() + 30
    while child.exists():
        assert time.monotonic() < deadline, 'the training outlived its parent'
        time.sleep(0.2)


def test_a_training_waits_for_the_one_that_it_starts_from(config, tmp_path, trainer):
    first = Training(config, tmp_path, dict(seed=1))
    second = Training(config, tmp_path, after=first,
                      checkpoint_key='model.teacher_checkpoint')
    with pytest.raises(TrainingFailed, match='none of the trainings to run'):
        run_trainings([second])
    ended = []
    run_trainings([second, first], ended=lambda training, _: ended.append(training))
    assert ended == [first, second]
    content = started_with(second)[-1]
    assert re.search(r'teacher_checkpoint=\s*.*epoch_3\.pth', content)


def test_what_a_training_starts_from_has_ended(config, tmp_path, trainer, monkeypatch):
    """It writes its best checkpoint after its last validation."""
    first = Training(config, tmp_path, {'train_cfg.max_epochs': 1, 'seconds': 1.5})
    second = Training(config, tmp_path, after=first)
    start = second.start

    def start_at_last(threads):
        assert first.process.poll() == 0
        start(threads)

    monkeypatch.setattr(second, 'start', start_at_last)
    run_trainings([first, second])
    assert second.done()


def write_log(training: Training, rows) -> None:
    log = training.work_dir / '20200101' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('\n'.join(map(json.dumps, rows)))


@pytest.mark.parametrize(('hook', 'name', 'epoch'), [
    (dict(), 'epoch_3', 3),
    (dict(save_best='MPJPE', rule='less'), 'best_MPJPE_epoch_2', 2),
    (dict(save_best=['MPJPE', 'coco/AP'], rule=['less', 'greater']),
     'best_MPJPE_epoch_2', 2),
    (dict(save_best='auto', rule='less'), 'best_MPJPE_epoch_2', 2),
    (dict(save_best='coco/AP', rule='greater'), 'best_coco_AP_epoch_1', 1)])
def test_the_checkpoint_to_go_on_from(config, tmp_path, hook, name, epoch):
    training = Training(config, tmp_path, {
        f'default_hooks.checkpoint.{key}': value
        for key, value in hook.items()})
    write_log(training, (
        {'MPJPE': mpjpe, 'coco/AP': precision, 'step': step}
        for step, mpjpe, precision in ((1, 90., 0.5), (2, 70., 0.4),
                                       (3, 80., 0.3))))
    for file in ('epoch_2', 'epoch_3', 'best_MPJPE_epoch_1',
                 'best_MPJPE_epoch_2', 'best_coco_AP_epoch_1'):
        (training.work_dir / f'{file}.pth').touch()
    assert training.checkpoint() == (epoch, training.work_dir / f'{name}.pth')


@pytest.mark.parametrize(('kept', 'cut_off', 'validated', 'first'), [
    ((), None, (), 1),
    ((1, 2), None, (1, 2), 3),
    ((2, 3), None, (1, 2), 3),  # its validation was interrupted
    ((1, 2), None, (1, ), 2),
    ((3, ), None, (1, 2), 1),
    ((2, ), None, (1, ), 3),  # there is no other, and it is not the last
    ((1, ), 2, (1, ), 2),  # killed as it wrote
    ((), 1, (), 1),
    ((1, 2), 3, (1, 2, 3), 3),  # killed as it wrote the last one again
    # killed as it wrote the best
    ((1, 2), 'best_MPJPE_epoch_2', (1, 2), 2),
    ((2, 3), 'best_MPJPE_epoch_3', (2, 3), 3)])
def test_what_was_cut_off_is_trained_again(config, tmp_path, monkeypatch, kept,
                                           cut_off, validated, first):
    training = Training(config, tmp_path)
    write_log(training, (dict(MPJPE=80., step=step) for step in validated))
    for epoch in filter(None, (*kept, cut_off)):
        name = epoch if isinstance(epoch, str) else f'epoch_{epoch}'
        file = training.work_dir / f'{name}.pth'
        with zipfile.ZipFile(file, 'w') as checkpoint:
            checkpoint.writestr('weights', 'of an epoch')
        if epoch == cut_off:
            file.write_bytes(file.read_bytes()[:-30])
    assert not training.done()
    commands = []
    monkeypatch.setattr('subprocess.Popen', lambda command, **_: (
        commands.append(command)))
    training.start(threads=1)
    assert commands[0][commands[0].index('--work-dir') + 2:] == [
        '--resume', str(training.work_dir / f'epoch_{first - 1}.pth')
    ][:2 * (first > 1)]
