import mmpose_wloss.engine.hooks  # noqa: F401

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmpose.registry import HOOKS
from small_trainings import same, train, train_and_kill, weights

EPOCHS = 3


@HOOKS.register_module()
class DrawingHook(Hook):
    """Draw in the main process, as a dropout does."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for image in data_batch['inputs']:
            image += torch.randint(0, 20, image.shape, dtype=image.dtype)


SEEN = []


@HOOKS.register_module()
class RecordingHook(Hook):
    """Keep a number for each image that is trained on, by epoch."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        for image, sample in zip(data_batch['inputs'],
                                 data_batch['data_samples'], strict=True):
            SEEN.append((runner.epoch, sample.img_id, int(image.long().sum())))


@pytest.fixture
def config(coco_root, request):
    config = Config.fromfile(
        request.config.rootpath / 'configs/demo/resnet18_fmse_annypose.py')
    init_default_scope('mmpose')
    config.train_cfg = dict(by_epoch=True, max_epochs=EPOCHS)
    config.val_cfg = config.val_dataloader = config.val_evaluator = None
    config.test_cfg = config.test_dataloader = config.test_evaluator = None
    config.train_dataloader.batch_size = 2
    config.train_dataloader.dataset.update(
        data_root=str(coco_root), data_prefix=dict(img='train2017/'),
        ann_file='annotations/person_keypoints_train2017.json')
    config.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    config.default_hooks.pop('visualization')
    config.custom_hooks = [dict(type='ResumableRandomnessHook'),
                           dict(type='DrawingHook')]
    config.log_level = 'ERROR'
    return config


@pytest.mark.parametrize('workers, seed', [(0, None), (2, 0)])
def test_an_interrupted_training_ends_the_same(config, tmp_path, workers, seed):
    """Without a seed in the config, with that of its checkpoint."""
    config.randomness = dict(seed=seed)
    train_and_kill(config, tmp_path / 'parts', workers)
    checkpoint = torch.load(tmp_path / 'parts' / 'epoch_1.pth')
    parts = train(config, tmp_path / 'parts', workers, resume=True)
    whole = train(config, tmp_path / 'whole', workers,
                  randomness=dict(seed=checkpoint['meta']['seed']))
    assert same(weights(whole), weights(parts))


def drawn(config, work_dir, workers=0, **arguments) -> list:
    SEEN.clear()
    config.custom_hooks = [dict(type='ResumableRandomnessHook'),
                           dict(type='RecordingHook')]
    train(config, work_dir, workers, **arguments)
    return list(SEEN)


@pytest.mark.parametrize('workers', [0, 2])
def test_epochs_and_seeds_draw_anew(config, tmp_path, workers):
    images = drawn(config, tmp_path / 'first', workers)
    # six people in three epochs, each augmented as never before
    assert len(images) == len({value for _, _, value in images}) == 18
    orders = [[image for epoch, image, _ in images if epoch == number]
              for number in range(EPOCHS)]
    assert len({tuple(order) for order in orders}) > 1
    other = drawn(config, tmp_path / 'other', workers, randomness=dict(seed=1))
    assert not set(images) & set(other)


def test_a_samplers_own_seed_counts(config, tmp_path):
    config.train_dataloader.sampler.seed = 5
    first, other = (drawn(config, tmp_path / name, randomness=dict(seed=seed))
                    for seed, name in enumerate(('first', 'other')))
    assert [each[:2] for each in first] == [each[:2] for each in other]
    config.train_dataloader.sampler.seed = 6
    changed = drawn(config, tmp_path / 'changed', randomness=dict(seed=0))
    assert [each[:2] for each in changed] != [each[:2] for each in first]


@pytest.mark.parametrize('workers', [0, 2])
def test_a_repeated_sample_is_augmented_anew(config, tmp_path, workers):
    loader = config.train_dataloader
    loader.dataset = dict(type='mmengine.RepeatDataset', times=3,
                          dataset=loader.dataset)
    config.train_cfg.max_epochs = 1
    images = drawn(config, tmp_path / 'repeated', workers)
    assert len({value for _, _, value in images}) == 18


def test_iteration_based_loops_resume_their_stream(config, tmp_path):
    config.train_cfg = dict(by_epoch=False, max_iters=4)
    config.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    config.param_scheduler = []
    config.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=2, by_epoch=False)
    whole = drawn(config, tmp_path / 'whole', 2)
    checkpoint = str(tmp_path / 'whole' / 'iter_2.pth')
    resumed = drawn(config, tmp_path / 'resumed', 2, resume=True,
                    load_from=checkpoint)
    assert resumed == whole[4:]
