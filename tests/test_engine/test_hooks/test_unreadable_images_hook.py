import json
import os
from pathlib import Path

import mmpose_wloss.engine.hooks  # noqa: F401

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from small_trainings import Killed, in_two_processes, train

COUNT = 8
PIPELINE = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=(16, 16)),
    dict(type='PackSemiSupervisedPoseInputs'),
]
# of each epoch, the third place takes two others, the fourth one
EPOCH = dict(samples=COUNT, replaced=2, files={'3.png': 1, '4.png': 2})


@MODELS.register_module(force=True)
class Brightness(BaseModel):
    """Learns a factor of the images' brightness."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples, mode):
        return dict(loss=self.factor * torch.stack(inputs).float().mean())


@pytest.fixture
def folder(tmp_path):
    """A folder of eight images, of which two cannot be loaded."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for index in range(COUNT):
        cv2.imwrite(str(folder / f'{index}.png'),
                    np.full((20, 20, 3), index, np.uint8))
    (folder / '3.png').write_bytes(b'')
    (folder / '4.png').write_bytes((folder / '5.png').read_bytes()[:-20])
    return folder


def train_on(folder, work_dir, workers=0, by_epoch=True, interrupted=False, **changes):
    """Two passes over the images by two at a time."""
    init_default_scope('mmpose')
    cycle = (dict(by_epoch=True, max_epochs=2) if by_epoch else
             dict(type='IterBasedTrainLoop', max_iters=COUNT))
    sampler = dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler',
                   shuffle=False)
    config = Config(dict(
        model=dict(type='Brightness'), default_scope='mmpose', train_cfg=cycle,
        randomness=dict(seed=0), train_dataloader=dict(
            batch_size=2, sampler=sampler, dataset=dict(
                type='UnlabeledPoseDataset', pipeline=PIPELINE,
                data_prefix=dict(img=str(folder)))),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(checkpoint=dict(
            type='CheckpointHook', by_epoch=by_epoch,
            interval=1 if by_epoch else 4)),
        custom_hooks=[dict(type='UnreadableImagesHook')]))
    if interrupted:
        # in the middle of the second half
        with pytest.raises(Killed):
            train(config, work_dir, workers, [dict(type='KillingHook', iteration=6)])
        return None
    return train(config, work_dir, workers, **changes)


def written(folder, work_dir) -> dict:
    content = json.loads((work_dir / 'unreadable_images.json').read_text())
    assert content.pop('format') == 1
    assert content.pop('unreadable') == len(content['files'])
    content['files'] = {os.path.relpath(file, folder): times
                        for file, times in content['files'].items()}
    return content


def doubled(epoch) -> dict:
    return dict(samples=2 * epoch['samples'], replaced=2 * epoch['replaced'],
                files={file: 2 * times
                       for file, times in epoch['files'].items()})


def log_of(work_dir) -> str:
    return ''.join(path.read_text() for path in
                   sorted(Path(work_dir).glob('*/*.log')))


@pytest.mark.parametrize('workers', [0, 2])
def test_files_are_told_once_and_counted(folder, tmp_path, workers):
    train_on(folder, tmp_path / 'work', workers)
    assert written(folder, tmp_path / 'work') == doubled(EPOCH)
    log = log_of(tmp_path / 'work')
    for name in ('3.png', '4.png'):
        assert log.count(f'{folder}/{name} cannot') == 1
    for iteration in (4, 8):
        assert (f'after iteration {iteration}: 2. In 2 of the 8 unlabeled samples of '
                'this epoch (25.00%)') in log


@pytest.mark.parametrize('by_epoch', [True, False])
def test_a_resumed_training_goes_on_counting(folder, tmp_path, by_epoch):
    work = tmp_path / 'work'
    train_on(folder, work, by_epoch=by_epoch, interrupted=True)
    told = f'{folder}/3.png cannot'
    assert log_of(work).count(told) == 1
    for file in work.rglob('*.log'):
        file.unlink()
    train_on(folder, work, by_epoch=by_epoch, resume=True)
    assert written(folder, work) == doubled(EPOCH)
    # the second one has them from the checkpoint
    assert told not in log_of(work)
    # weights to start from are no training to go on with
    train_on(folder, tmp_path / 'other',
          load_from=str(work / f'{"epoch_2" if by_epoch else "iter_8"}.pth'))
    assert written(folder, tmp_path / 'other') == doubled(EPOCH)


def test_nothing_to_tell(folder, tmp_path):
    for name in ('3.png', '4.png'):
        (folder / name).unlink()
    train_on(folder, tmp_path / 'work')
    assert written(folder, tmp_path / 'work') == dict(
        samples=12, replaced=0, files={})
    assert 'cannot be loaded' not in log_of(tmp_path / 'work')


def train_on_one_rank_of_two(folder, work_dir):
    runner = train_on(
        folder, work_dir, launcher='pytorch', model_wrapper_cfg=dict(
            type='MMDistributedDataParallel', device_ids=None))
    seen = runner.message_hub.get_info('unreadable_images')
    assert (seen['samples'], seen['replaced'], len(seen['files'])) == (16, 4, 2)


def test_processes_add_up_what_they_met(folder, tmp_path, free_port):
    in_two_processes(train_on_one_rank_of_two, free_port, folder, tmp_path / 'work')
    assert written(folder, tmp_path / 'work') == doubled(EPOCH)
    for name in ('3.png', '4.png'):
        assert log_of(tmp_path / 'work').count(
            f'{folder}/{name} cannot') == 1
