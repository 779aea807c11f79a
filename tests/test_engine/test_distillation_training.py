"""Whole trainings of FastPoseDistiller on generated data."""

from pathlib import Path

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.wrapped_networks import export_network

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmpose.apis import init_model
from mmpose.registry import HOOKS, MODELS
from small_trainings import (
    in_two_processes,
    same,
    shortened,
    train,
    train_and_kill,
    weights,
    without_validation,
)

ROOT = Path(__file__).parents[2]
CONFIG = (ROOT / 'configs' / 'demo' /
          'hourglass_mobile_s2_fpd_unlabeled_annypose.py')


@pytest.fixture(scope='module')
def teacher(tmp_path_factory) -> dict:
    """Config and checkpoint of a teacher."""
    init_default_scope('mmpose')
    config = Config.fromfile(
        ROOT / 'configs' / 'demo' / 'hourglass_s4_annypose.py').model
    config.backbone.update(num_feats=4, stem_channels=4, num_stacks=2)
    config.head.update(num_stages=2)
    file = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.manual_seed(0)
    torch.save(dict(state_dict=MODELS.build(config).state_dict()), file)
    return dict(teacher=config, teacher_checkpoint=str(file))


@pytest.fixture
def config(coco_root, teacher) -> Config:
    init_default_scope('mmpose')
    config = shortened(Config.fromfile(CONFIG), coco_root, 'DistillationHook')
    config.val_evaluator = config.test_evaluator = [
        dict(type='PCKAccuracy', thr=0.2)]
    config.model.update(teacher)
    config.model.student.backbone.update(num_feats=4, stem_channels=4)
    return config


def test_an_interrupted_training_ends_the_same(config, tmp_path):
    config = without_validation(config)
    expected = weights(train(config, tmp_path / 'whole', 1))
    train_and_kill(config, tmp_path / 'part', 1)
    assert same(weights(train(config, tmp_path / 'part', 1, resume=True)),
                expected)


@HOOKS.register_module()
class TeachingHook(Hook):
    """Keep how much the teacher teaches in each iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append(runner.model.teaching)


@pytest.mark.parametrize('checkpoint, batch_size, expected', [
    # three iterations an epoch: the one that was cut off begins again
    ('iter_2.pth', 4, [1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
    ('iter_5.pth', 4, [3 / 6, 2 / 6, 1 / 6]),
    # two of them, as with more processes
    ('iter_3.pth', 8, [1, 3 / 4, 2 / 4, 1 / 4])])
def test_a_resumed_teacher_decays_by_epochs(config, tmp_path, checkpoint, batch_size,
                                            expected):
    config = without_validation(config)
    config.model.teacher_decay = True
    config.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=1, by_epoch=False)
    train(config, tmp_path / 'first')
    loader = config.train_dataloader
    loader.batch_size = loader.sampler.batch_size = batch_size
    runner = train(config, tmp_path / 'resumed', hooks=[dict(type='TeachingHook')],
                   resume=True, load_from=str(tmp_path / 'first' / checkpoint))
    hook, = (hook for hook in runner.hooks if isinstance(hook, TeachingHook))
    assert hook.seen == pytest.approx(expected)


def test_the_student_is_a_stock_network(config, tmp_path):
    runner = train(config, tmp_path)
    whole = torch.load(tmp_path / 'epoch_2.pth')
    assert {key.split('.')[0] for key in whole['state_dict']} <= {
        'student', 'data_preprocessor'}
    teacher = runner.model.teacher
    assert whole['meta']['teacher']['digest'] == teacher.digest
    out = tmp_path / 'out' / 'student.pth'
    export_network(None, tmp_path / 'epoch_2.pth', out)
    for file in (tmp_path / 'student.pth', out):
        stock = init_model(str(file.with_suffix('.py')), None, 'cpu')
        assert type(stock).__name__ == 'TopdownPoseEstimator'
        stock.load_state_dict(torch.load(file)['state_dict'], strict=True)
        assert same(stock.state_dict(), runner.model.student.state_dict())
        assert 'teacher' not in file.with_suffix('.py').read_text()


@pytest.mark.parametrize('alpha', [0., 0.5])
def test_resuming_with_another_teacher_or_student(config, tmp_path, teacher, alpha):
    config = without_validation(config)
    config.model.alpha = alpha
    config.train_cfg.max_epochs = 1
    train(config, tmp_path)
    config.train_cfg.max_epochs = 2
    content = torch.load(teacher['teacher_checkpoint'])
    for value in content['state_dict'].values():
        value += 1
    torch.save(content, tmp_path / 'other.pth')
    config.model.teacher_checkpoint = str(tmp_path / 'other.pth')
    with pytest.raises(UserError, match='other.pth'):
        train(config, tmp_path, resume=True)
    # as a start it may have been taught by anyone
    config.train_cfg.max_epochs = 1
    train(config, tmp_path / 'new', load_from=str(tmp_path / 'epoch_1.pth'))
    config.model.update(teacher)
    config.model.student.backbone.num_feats = 6
    with pytest.raises(UserError, match='student.backbone'):
        train(config, tmp_path, resume=True)


@pytest.mark.parametrize('alpha', [0., 0.5])
@pytest.mark.parametrize('mapping', [None, [(0, 0), (5, 5)]])
def test_joints_of_other_names(config, tmp_path, teacher, mapping, alpha):
    names = {index: f'joint {index}' for index in range(17)}
    content = torch.load(teacher['teacher_checkpoint'])
    content['meta'] = dict(dataset_meta=dict(keypoint_id2name=names))
    torch.save(content, tmp_path / 'other.pth')
    config.model.teacher_checkpoint = str(tmp_path / 'other.pth')
    config.model.keypoint_mapping = mapping
    # unlabeled images alone are taught, or all
    config.model.alpha = alpha
    config.train_cfg.max_epochs = 1
    if mapping is None:
        with pytest.raises(UserError, match="joint 0.*nose"):
            train(config, tmp_path)
    else:
        train(config, tmp_path)


@pytest.mark.parametrize('wrapped', [True, False])
def test_starting_from_a_stock_student(config, tmp_path, wrapped):
    config.train_cfg.max_epochs = 1
    config.optim_wrapper.optimizer.lr = 0.
    stock = MODELS.build(config.model.student).state_dict()
    torch.save(dict(state_dict=stock) if wrapped else stock, tmp_path / 'stock.pth')
    started = train(config, tmp_path / 'out',
                    load_from=str(tmp_path / 'stock.pth'))
    assert all(torch.equal(value, stock[name]) for name, value in
               started.model.student.named_parameters())


def test_model_and_hook_need_each_other(config, tmp_path):
    with pytest.raises(UserError, match='DistillationHook'):
        train(config, tmp_path, custom_hooks=[])
    config.model = config.model.student
    with pytest.raises(UserError, match='TopdownPoseEstimator'):
        train(config, tmp_path)


def train_one_rank(config, folder):
    runner = train(config, folder)
    torch.save(dict(runner.model.module.named_parameters()),
               folder / f'rank{get_rank()}.pth')


def test_two_processes(config, tmp_path, free_port):
    """Students equal on both ranks."""
    config.update(launcher='pytorch', model_wrapper_cfg=dict(
        type='MMDistributedDataParallel', device_ids=None))
    in_two_processes(train_one_rank, free_port, config, tmp_path)
    assert same(*(torch.load(tmp_path / f'rank{rank}.pth') for rank in range(2)))
    assert (tmp_path / 'student.pth').exists()
