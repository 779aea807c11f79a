import os
import signal
import time
from pathlib import Path

import pytest
import torch

from mmpose_wloss.engine.demo import Demo
from mmpose_wloss.engine.trainings import (
    Training,
    TrainingFailed,
    run_trainings,
)

CONFIGS = Path(__file__).parents[2] / 'configs' / 'demo'


@pytest.fixture
def options(coco_root):
    options = {
        'train_cfg.max_epochs': 2,
        'train_cfg.val_interval': 1,
        'train_dataloader.batch_size': 2,
        'default_hooks.logger.interval': 1
    }
    for mode in ('train', 'val', 'test'):
        split = 'train' if mode == 'train' else 'val'
        dataset = f'{mode}_dataloader.dataset'
        options[f'{dataset}.data_root'] = str(coco_root)
        options[f'{dataset}.ann_file'] = (
            f'annotations/person_keypoints_{split}2017.json')
        options[f'{dataset}.data_prefix.img'] = f'{split}2017/'
    for mode in ('val', 'test'):
        options[f'{mode}_evaluator.0.ann_file'] = str(
            coco_root / 'annotations' / 'person_keypoints_val2017.json')
    return options


def test_trainings_run_and_a_report_compares_them(options, tmp_path):
    demo = Demo({'MSE': CONFIGS / 'resnet18_mse_annypose.py',
                 'focal MSE': CONFIGS / 'resnet18_fmse_annypose.py'}, tmp_path)
    for training in demo.trainings.values():
        training.options = options
        assert not training.done()
    demo.train(processes=2)
    assert all(training.done() for training in demo.trainings.values())
    validations = demo.trainings['MSE'].validations()
    assert set(validations) == {1, 2}
    assert {'coco/AP', 'PCK'} <= set(validations[2])

    report = demo.write_report().read_text()
    assert '| MSE ' in report and '| focal MSE ' in report
    for name in ('ap', 'pck', 'predictions', 'heatmaps'):
        assert f'({name}.png)' in report
        assert (tmp_path / f'{name}.png').stat().st_size > 1000

    # nothing is trained again
    before = (tmp_path / 'resnet18_mse_annypose' / 'output.txt').stat()
    demo.train(processes=2)
    assert (tmp_path / 'resnet18_mse_annypose' /
            'output.txt').stat().st_mtime == before.st_mtime


def test_a_stopped_training_goes_on(options, tmp_path):
    config = CONFIGS / 'resnet18_fmse_annypose.py'
    whole = Training(config, tmp_path / 'whole', options)
    parts = Training(config, tmp_path / 'parts', options)
    parts.start(threads=1)
    while not (parts.work_dir / 'epoch_1.pth').exists():
        assert parts.running()
        time.sleep(0.1)
    parts.stop()
    assert not parts.done()
    ended = []
    run_trainings([whole, parts], processes=2,
                  ended=lambda training, seconds: ended.append(training))
    assert set(ended) == {whole, parts}
    states = [torch.load(training.work_dir / 'epoch_2.pth')['state_dict']
              for training in (whole, parts)]
    assert all(torch.equal(states[0][key], states[1][key])
               for key in states[0])


def test_a_training_that_fails_is_told_with_its_log(options, tmp_path):
    broken = Training(CONFIGS / 'resnet18_fmse_annypose.py', tmp_path,
                      {**options, 'model.head.loss.gamma': -1})
    with pytest.raises(TrainingFailed, match='gamma must be at least 0'):
        run_trainings([broken])


def test_no_training_is_started_after_the_deadline(options, tmp_path):
    late = Training(CONFIGS / 'resnet18_fmse_annypose.py', tmp_path / 'late',
                    options)
    run_trainings([late], deadline=time.monotonic() - 1)
    assert late.process is None
    assert not (tmp_path / 'late').exists()


def test_trainings_end_with_the_process_that_started_them(options, tmp_path):
    training = Training(CONFIGS / 'resnet18_fmse_annypose.py', tmp_path,
                        {**options, 'train_cfg.max_epochs': 1000})
    parent = os.fork()
    if parent == 0:
        training.start(threads=1)
        (tmp_path / 'started').write_text(str(training.process.pid))
        time.sleep(60)
    while not (tmp_path / 'started').exists() or not (
            tmp_path / 'started').read_text():
        time.sleep(0.1)
    child = int((tmp_path / 'started').read_text())
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    deadline = time.monotonic() + 60
    while Path(f'/proc/{child}').exists():
        assert time.monotonic() < deadline, 'the training outlived its parent'
        time.sleep(0.2)
