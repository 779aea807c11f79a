import hashlib
import os
import signal
import time
from pathlib import Path

from mmpose_wloss.commands.demo import Demo
from mmpose_wloss.trainings import (
    Training,
    TrainingFailed,
    annotation_files,
    run_trainings,
)

import pytest
import torch
from mmengine.config import Config


def test_trainings_run_and_a_report_compares_them(demo_configs, tmp_path):
    demo = Demo({'MSE': demo_configs['mse'],
                 'focal MSE': demo_configs['fmse']}, tmp_path / 'work')
    assert not any(training.done() for training in demo.trainings.values())
    demo.train(processes=2)
    assert all(training.done() for training in demo.trainings.values())
    validations = demo.trainings['MSE'].validations()
    assert set(validations) == {1, 2}
    assert {'coco/AP', 'PCK'} <= set(validations[2])

    report = demo.write_report().read_text()
    assert '| MSE ' in report and '| focal MSE ' in report
    for name in ('ap', 'pck', 'predictions', 'heatmaps'):
        assert f'({name}.png)' in report
        assert (tmp_path / 'work' / f'{name}.png').stat().st_size > 1000

    # nothing is trained again
    output = demo.trainings['MSE'].work_dir / 'output.txt'
    before = output.stat().st_mtime_ns
    demo.train(processes=2)
    assert output.stat().st_mtime_ns == before


def test_another_config_or_other_data_is_another_training(demo_configs,
                                                          tmp_path):
    one = Training(demo_configs['mse'], tmp_path)
    assert Training(demo_configs['mse'], tmp_path).work_dir == one.work_dir
    other = Training(demo_configs['mse'], tmp_path, {'randomness.seed': 5})
    assert other.work_dir != one.work_dir
    annotations = tmp_path / 'other.json'
    annotations.write_text('{}')
    other = Training(demo_configs['mse'], tmp_path, {
        'train_dataloader.dataset.ann_file': str(annotations)})
    assert other.work_dir != one.work_dir


def test_the_annotations_of_all_data_sets(tmp_path):
    def files(**dataset):
        return annotation_files(Config(dict(
            train_dataloader=dict(dataset=dict(dataset)))))

    one = dict(data_root='a', ann_file='1.npz')
    two = dict(data_root='b', ann_file=['2.npz', '3.npz'])
    more = dict(ann_file='4.mat', extended_ann_file='5.mat')
    assert files(**one) == [Path('a/1.npz')]
    assert files(**two) == [Path('b/2.npz'), Path('b/3.npz')]
    assert files(type='CombinedDataset', datasets=[
        one, dict(type='RepeatDataset', dataset=two), dict(data_root='c'),
        more, one]) == [Path(file) for file in (
            'a/1.npz', 'b/2.npz', 'b/3.npz', '4.mat', '5.mat')]


def test_the_digest_is_of_every_annotation_file(demo_configs, tmp_path):
    paths = [tmp_path / name for name in ('1.json', '2.json')]
    for path in paths:
        path.write_text('{}')

    def training(files):
        return Training(demo_configs['mse'], tmp_path, {
            'train_dataloader.dataset.ann_file': files})

    single = training(str(paths[0]))
    digest = hashlib.sha256(single.config.pretty_text.encode() + b'{}')
    assert single.work_dir.name == f'mse_{digest.hexdigest()[:8]}'
    before = training([str(path) for path in paths]).work_dir
    paths[1].write_text('[]')
    assert training([str(path) for path in paths]).work_dir != before


def test_an_interrupted_last_validation_is_made_up_for(demo_configs, tmp_path):
    training = Training(demo_configs['mse'], tmp_path)
    run_trainings([training])
    weights = torch.load(training.work_dir / 'epoch_2.pth')['state_dict']
    for file in training.work_dir.glob('*/vis_data/scalars.json'):
        lines = file.read_text().splitlines()
        file.write_text('\n'.join(lines[:-1]) + '\n')
    assert not training.done()
    run_trainings([training])
    assert training.done()
    again = torch.load(training.work_dir / 'epoch_2.pth')['state_dict']
    assert all(torch.equal(weights[key], again[key]) for key in weights)


def test_a_stopped_training_goes_on(demo_configs, tmp_path):
    whole = Training(demo_configs['fmse'], tmp_path / 'whole')
    parts = Training(demo_configs['fmse'], tmp_path / 'parts')
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


def test_a_training_that_fails_is_told_with_its_log(demo_configs, tmp_path):
    broken = Training(demo_configs['fmse'], tmp_path,
                      {'model.head.loss.gamma': -1})
    with pytest.raises(TrainingFailed, match='gamma must be at least 0'):
        run_trainings([broken])


def test_no_training_is_started_after_the_deadline(demo_configs, tmp_path):
    late = Training(demo_configs['fmse'], tmp_path / 'late')
    run_trainings([late], deadline=time.monotonic() - 1)
    assert late.process is None
    assert not (tmp_path / 'late').exists()


def test_trainings_end_with_the_process_that_started_them(demo_configs, tmp_path):
    training = Training(demo_configs['fmse'], tmp_path,
                        {'train_cfg.max_epochs': 1000})
    parent = os.fork()
    if parent == 0:
        try:
            training.start(threads=1)
            (tmp_path / 'started').write_text(str(training.process.pid))
            time.sleep(60)
        finally:
            os._exit(0)
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


def test_a_training_waits_for_the_one_that_it_starts_from(demo_configs,
                                                          tmp_path):
    first = Training(demo_configs['mse'], tmp_path,
                     {'train_cfg.max_epochs': 1})
    second = Training(demo_configs['mse'], tmp_path,
                      {'train_cfg.max_epochs': 1, 'randomness.seed': 1},
                      after=first)
    with pytest.raises(TrainingFailed, match='none of the trainings to run'):
        run_trainings([second])
    ended = []
    run_trainings([second, first], processes=2,
                  ended=lambda training, _: ended.append(training))
    assert ended == [first, second]
    assert str(first.work_dir / 'epoch_1.pth') in (
        second.work_dir / 'output.txt').read_text()
