import copy
import json
import pickle
import runpy
import sys
from pathlib import Path

from mmpose_wloss.datasets import (
    LoadTeacherTargets,
    PackSemiSupervisedPoseInputs,
)
from mmpose_wloss.engine import teacher_cache
from mmpose_wloss.engine.launch import WrongTeacherCache
from mmpose_wloss.engine.launch import check_teacher_cache as check_cache_of_config
from mmpose_wloss.engine.teacher_cache import cache_teacher
from mmpose_wloss.models.distillers.teacher_cache import (
    CachedTeacher,
    check_teacher_cache,
)
from mmpose_wloss.structures.teacher_cache import (
    TeacherCache,
    TeacherCacheError,
)

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import DATASETS, MODELS
from torch.utils.data import DataLoader

TOOL = Path(__file__).parents[2] / 'tools' / 'cache_teacher.py'
SIZE = (48, 64)
JOINTS = 17
# 6 labelled people and 4 unlabelled ones
COUNT = 10
CODECS = dict(
    heatmaps=dict(type='MSRAHeatmap', input_size=SIZE, heatmap_size=(12, 16),
                  sigma=1.5),
    simcc=dict(type='SimCCLabel', input_size=SIZE, sigma=3.,
               simcc_split_ratio=2.0))
CROP = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=SIZE),
]
PACK = [dict(type='PackSemiSupervisedPoseInputs')]


def network(kind='heatmaps'):
    codec = CODECS[kind]
    head = dict(
        heatmaps=dict(
            type='HeatmapHead', deconv_out_channels=(8, 8),
            deconv_kernel_sizes=(4, 4),
            loss=dict(type='KeypointMSELoss', use_target_weight=True)),
        simcc=dict(
            type='SimCCHead', input_size=SIZE, in_featuremap_size=(3, 4),
            simcc_split_ratio=2.0, deconv_out_channels=None,
            loss=dict(type='KLDiscretLoss', use_target_weight=True)))[kind]
    return dict(
        type='TopdownPoseEstimator',
        data_preprocessor=dict(type='PoseDataPreprocessor', mean=[120.] * 3,
                               std=[60.] * 3, bgr_to_rgb=True),
        backbone=dict(type='ResNet', depth=18, stem_channels=8,
                      base_channels=8, strides=(1, 2, 2, 1),
                      dilations=(1, 1, 1, 1), zero_init_residual=False),
        head=dict(head, in_channels=64, out_channels=JOINTS, decoder=codec))


def weights_of(config, path, seed=1):
    torch.manual_seed(seed)
    init_default_scope('mmpose')
    model = MODELS.build(copy.deepcopy(config))
    model.init_weights()
    for module in model.head.modules():
        # by default, all that it predicts is next to nothing
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d,
                               torch.nn.Linear)):
            torch.nn.init.normal_(module.weight, std=0.3)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        dataset_meta=dict(keypoint_id2name={0: 'nose'}))), path)
    return str(path)


@pytest.fixture
def make_config(coco_root, tmp_path):
    """A training of ten images with a fixed augmentation."""
    def make(kind='heatmaps', crop=CROP, pack=PACK):
        def files(split):
            return dict(
                data_root=str(coco_root),
                ann_file=f'annotations/person_keypoints_{split}2017.json',
                data_prefix=dict(img=f'{split}2017/'))

        dataset = dict(
            type='CombinedDataset',
            metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
            datasets=[
                dict(type='CocoDataset', pipeline=[
                    *crop, dict(type='GenerateTarget', encoder=CODECS[kind])],
                    **files('train')),
                dict(type='UnlabeledPoseDataset', pipeline=crop,
                     **files('val'))],
            pipeline=pack)
        teacher = network(kind)
        return Config(copy.deepcopy(dict(
            model=dict(
                type='FastPoseDistiller', teacher=teacher,
                teacher_checkpoint=weights_of(
                    teacher, tmp_path / f'{kind}.pth'),
                student=network(kind)),
            train_dataloader=dict(batch_size=4, dataset=dataset))))
    return make


def cached(config, folder, **arguments):
    return cache_teacher(config, str(folder), **{
        **dict(progress=False, batch_size=3, shard_size=4), **arguments})


def distiller_of(config, **arguments):
    init_default_scope('mmpose')
    torch.manual_seed(0)
    return MODELS.build(copy.deepcopy(dict(config.model, **arguments)))


def cached_teacher(config, folder):
    model = distiller_of(config)
    return CachedTeacher(
        str(folder), model.teacher_config, model.teacher_checkpoint,
        model.outputs, model.keypoint_mapping)


def batch_of(config, folder, workers=0):
    """All samples in one batch, with their targets."""
    init_default_scope('mmpose')
    data = copy.deepcopy(config.train_dataloader.dataset)
    data.pipeline = [dict(type='LoadTeacherTargets', cache=str(folder)),
                     *data.pipeline]
    dataset = DATASETS.build(data)
    return next(iter(DataLoader(dataset, COUNT, num_workers=workers,
                                collate_fn=pseudo_collate)))


@pytest.mark.parametrize('kind', CODECS)
@pytest.mark.parametrize('dtype, tolerance', [('float16', 1e-3),
                                              ('float32', 1e-5)])
@pytest.mark.parametrize('workers', [0, 2])
def test_cached_targets_are_those_of_the_teacher(
        make_config, tmp_path, kind, dtype, tolerance, workers):
    config = make_config(kind)
    folder = tmp_path / 'cache'
    summary = cached(config, folder, dtype=dtype, workers=workers)
    assert (summary['samples'], summary['computed']) == (COUNT, COUNT)
    assert summary['bytes'] == sum(
        path.stat().st_size for path in folder.iterdir())
    assert [np.load(path, allow_pickle=False, mmap_mode='r').shape[0]
            for path in sorted(folder.glob('targets_*.npy'))] == [4, 4, 2]
    assert np.load(folder / 'targets_00000.npy').dtype == dtype

    batch = batch_of(config, folder, workers)
    live = distiller_of(config).eval()
    data = live.data_preprocessor(batch, True)
    expected = live.teach(data['inputs'])
    teacher = cached_teacher(config, folder)
    found = teacher(data['data_samples'])
    assert not list(teacher.parameters())
    assert teacher.digest == live.teacher.digest
    assert teacher.meta['dataset_meta']['keypoint_id2name'] == {0: 'nose'}
    pairs = ([(found, expected)] if kind == 'heatmaps' else
             list(zip(found, expected, strict=True)))
    assert len(pairs) == (1 if kind == 'heatmaps' else 2)
    for one, other in pairs:
        assert one.dtype == torch.float32
        assert one.shape == other.shape
        scale = other.abs().max()
        assert torch.allclose(one, other, rtol=0,
                              atol=float(tolerance * scale))
        # of each image its own
        assert (other[0] - other[1]).abs().max() > 20 * tolerance * scale


@pytest.mark.parametrize('kind', CODECS)
def test_a_step_with_cached_targets_is_the_same(make_config, tmp_path, kind):
    config = make_config(kind)
    folder = str(tmp_path / 'cache')
    cached(config, folder)
    batch = batch_of(config, folder)
    losses = []
    for arguments in ({}, dict(teacher_cache=folder)):
        model = distiller_of(config, **arguments)
        torch.manual_seed(0)
        model.init_weights()
        if arguments:
            assert isinstance(model.teacher, CachedTeacher)
        else:
            alone = model
        losses.append(model(**model.data_preprocessor(
            copy.deepcopy(batch), True), mode='loss'))
    assert model.state_dict().keys() == alone.state_dict().keys()
    assert losses[0].keys() == losses[1].keys() >= {
        'loss_distill', 'loss_distill_unlabeled'}
    for key in losses[0]:
        assert float(losses[1][key]) == pytest.approx(
            float(losses[0][key]), rel=2e-3)


def test_a_config_that_uses_the_cache_can_write_it(make_config, tmp_path):
    config = make_config()
    cached(config, tmp_path / 'one')
    config.model.teacher_cache = str(tmp_path / 'two')
    config.train_dataloader.dataset.pipeline = [
        dict(type='LoadTeacherTargets', cache=str(tmp_path / 'two')), *PACK]
    cached(config, tmp_path / 'two')
    for path in (tmp_path / 'one').iterdir():
        assert path.read_bytes() == (tmp_path / 'two' / path.name).read_bytes()


@pytest.mark.parametrize('step, names', [
    (dict(type='RandomFlip'), ['RandomFlip']),
    (dict(type='RandomBBoxTransform'), ['RandomBBoxTransform']),
    (dict(type='PhotometricDistortion'), ['PhotometricDistortion']),
])
def test_random_augmentation_is_refused(make_config, tmp_path, step, names):
    crop = ([*CROP, step] if step['type'] == 'PhotometricDistortion' else
            [*CROP[:2], step, CROP[2]])
    with pytest.raises(ValueError, match='not fixed.*: ' + ', '.join(
            names) + '$'):
        cached(make_config(crop=crop), tmp_path / 'cache')
    assert not (tmp_path / 'cache').exists()


def test_batch_augmentations_are_refused(make_config, tmp_path):
    config = make_config()
    config.model.student.data_preprocessor.batch_augments = [dict(
        type='BatchSyncRandomResize', random_size_range=(32, 64))]
    with pytest.raises(ValueError, match='batch_augments'):
        cached(config, tmp_path / 'cache')


def test_samples_that_a_cache_lacks(make_config, tmp_path):
    config = make_config()
    cached(config, tmp_path / 'cache')
    config.train_dataloader.dataset.datasets[1].pipeline = [
        CROP[0], dict(type='GetBBoxCenterScale', padding=1.5), CROP[2]]
    with pytest.raises(TeacherCacheError, match=(
            r'no targets of sample 1 of .*val2017/000000000001.jpg, a crop of '
            '48 × 64.*another crop.*at random')):
        batch_of(config, tmp_path / 'cache')


class Interrupted(Exception):
    """Stands for a killed process."""


def test_an_interrupted_cache_is_gone_on_with(make_config, tmp_path,
                                              monkeypatch):
    config = make_config()
    cached(config, tmp_path / 'whole')
    calls = []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise Interrupted
        return compute(*arguments)

    compute = teacher_cache._targets
    with monkeypatch.context() as patch:
        patch.setattr(teacher_cache, '_targets', interrupt)
        with pytest.raises(Interrupted):
            cached(config, tmp_path / 'part')
    index = json.loads((tmp_path / 'part' / 'index.json').read_text())
    assert (index['shards'], index['complete']) == ([4], False)
    # a training does not begin with it
    with pytest.raises(TeacherCacheError, match='4 of 10 samples.*again'):
        cached_teacher(config, tmp_path / 'part')
    with pytest.raises(TeacherCacheError, match='not complete, with 4 of 10'):
        batch_of(config, tmp_path / 'part')
    # left by a process that was killed while it wrote
    (tmp_path / 'part' / 'targets_00001.npy.partial').write_bytes(b'half')

    assert cached(config, tmp_path / 'part')['computed'] == 6
    assert cached(config, tmp_path / 'part')['computed'] == 0
    whole, part = (TeacherCache(tmp_path / name) for name in ('whole', 'part'))
    assert whole.index == part.index
    for image in images_of(config):
        assert np.allclose(whole.find(image), part.find(image), atol=1e-3)
    assert not list((tmp_path / 'part').glob('*.partial'))


def images_of(config):
    init_default_scope('mmpose')
    dataset = DATASETS.build(copy.deepcopy(config.train_dataloader.dataset))
    return [dataset[index]['inputs'].permute(1, 2, 0).numpy()
            for index in range(len(dataset))]


def test_a_folder_of_others_is_refused(make_config, tmp_path):
    config = make_config()
    cached(config, tmp_path / 'cache')
    with pytest.raises(TeacherCacheError, match='the dtype differ'):
        cached(config, tmp_path / 'cache', dtype='float32')
    config.train_dataloader.dataset.datasets[1].indices = 2
    with pytest.raises(TeacherCacheError, match="training's data or pipeline"):
        cached(config, tmp_path / 'cache')
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'notes.txt').write_text('mine')
    with pytest.raises(TeacherCacheError, match='other files'):
        cached(config, tmp_path / 'other')
    assert (tmp_path / 'other' / 'notes.txt').read_text() == 'mine'


def test_the_cache_of_another_teacher_is_refused(make_config, tmp_path):
    config = make_config()
    cached(config, tmp_path / 'cache')

    def check(**changes):
        model = distiller_of(config, **changes)
        return check_teacher_cache(
            str(tmp_path / 'cache'), model.teacher_config,
            model.teacher_checkpoint, model.outputs, model.keypoint_mapping)

    assert check()['complete']
    # where it lies does not matter, what it holds does
    moved = tmp_path / 'moved.pth'
    moved.write_bytes(Path(config.model.teacher_checkpoint).read_bytes())
    assert check(teacher_checkpoint=str(moved))['complete']
    with pytest.raises(TeacherCacheError,
                       match="others: the teacher's checkpoint differ"):
        check(teacher_checkpoint=weights_of(
            config.model.teacher, tmp_path / 'other.pth', seed=2))
    teacher = copy.deepcopy(config.model.teacher)
    teacher.data_preprocessor.mean = [100.] * 3
    with pytest.raises(TeacherCacheError, match="the teacher's config differ"):
        check(teacher=teacher)
    student = copy.deepcopy(config.model.student)
    student.head.update(deconv_out_channels=(8, ), deconv_kernel_sizes=(4, ))
    student.head.decoder.heatmap_size = (6, 8)
    for changes in (dict(student=student),
                    dict(keypoint_mapping=[(0, 0), (1, 2)])):
        with pytest.raises(TeacherCacheError, match="student's codec"):
            check(**changes)
    with pytest.raises(FileNotFoundError, match='none.pth.*compared'):
        check(teacher_checkpoint='none.pth')


def test_folders_that_are_no_cache(tmp_path):
    with pytest.raises(TeacherCacheError, match='cache_teacher.py CONFIG'):
        LoadTeacherTargets(str(tmp_path))
    (tmp_path / 'index.json').write_text('{')
    with pytest.raises(TeacherCacheError, match='not a JSON file'):
        LoadTeacherTargets(str(tmp_path))
    (tmp_path / 'index.json').write_text('{"format": 2}')
    with pytest.raises(TeacherCacheError, match='format 1'):
        LoadTeacherTargets(str(tmp_path))


def test_a_damaged_shard(make_config, tmp_path):
    config = make_config()
    cached(config, tmp_path / 'cache')
    path = tmp_path / 'cache' / 'targets_00001.npy'
    np.save(path, np.load(path)[:3])
    with pytest.raises(TeacherCacheError, match='shard 1 has 4 keys and 3'):
        batch_of(config, tmp_path / 'cache')


def test_processes_open_the_files_themselves(make_config, tmp_path):
    config = make_config()
    cached(config, tmp_path / 'cache')
    transform = LoadTeacherTargets(str(tmp_path / 'cache'))
    before = len(pickle.dumps(transform))
    sample = dict(img=images_of(config)[0])
    transform(sample)
    assert sample['teacher_targets'].shape == (1, JOINTS, 12 * 16)
    copied = pickle.dumps(transform)
    assert len(copied) == before < 5000
    again = pickle.loads(copied)(dict(img=sample['img']))
    assert np.array_equal(again['teacher_targets'], sample['teacher_targets'])
    # what is given away is the sample's own
    sample['teacher_targets'] += 1
    assert not np.array_equal(
        transform(dict(img=sample['img']))['teacher_targets'],
        sample['teacher_targets'])


@pytest.mark.parametrize('packer',
                         [PackPoseInputs, PackSemiSupervisedPoseInputs])
@pytest.mark.parametrize('table', [
    {}, dict(label_mapping_table=dict(keypoint_weights='keypoint_weights'))])
def test_packers_take_the_targets_along(make_config, tmp_path, packer, table):
    config = make_config()
    cached(config, tmp_path / 'cache')
    transform = LoadTeacherTargets(str(tmp_path / 'cache'))
    weights = np.ones((1, JOINTS), np.float32)
    sample = transform(dict(img=images_of(config)[0], keypoint_weights=weights,
                            keypoints_visible=weights, **table))
    labels = packer()(dict(sample))['data_samples'].gt_instance_labels
    assert labels.teacher_targets.dtype == torch.float16
    assert labels.teacher_targets.shape == (1, JOINTS, 12 * 16)
    assert torch.equal(labels.keypoint_weights, torch.ones(1, JOINTS))
    # the codec's table stays as it was
    assert 'teacher_targets' not in table.get('label_mapping_table', {})
    if packer is PackSemiSupervisedPoseInputs:
        labels = packer()(dict(sample, labeled=False))[
            'data_samples'].gt_instance_labels
        assert torch.equal(labels.teacher_targets,
                           torch.from_numpy(sample['teacher_targets']))


def test_samples_without_targets_or_with_those_of_others(make_config,
                                                         tmp_path):
    config = make_config()
    cached(config, tmp_path / 'cache')
    teacher = cached_teacher(config, tmp_path / 'cache')
    samples = batch_of(config, tmp_path / 'cache')['data_samples']
    samples[1].gt_instance_labels.teacher_targets = torch.zeros(1, JOINTS, 10)
    del samples[0].gt_instance_labels.teacher_targets
    with pytest.raises(KeyError, match='000000000001.jpg brings no targets.*'
                       'LoadTeacherTargets'):
        teacher(samples)
    with pytest.raises(ValueError, match='17 joints of 10 bins.*17 of 192'):
        teacher(samples[1:2])


def test_configs_that_do_not_fit(make_config, tmp_path):
    config = make_config()
    with pytest.raises(ValueError, match="float16.*'int8'"):
        cached(config, tmp_path / 'cache', dtype='int8')
    with pytest.raises(ValueError, match='at least 1.*0'):
        cached(config, tmp_path / 'cache', batch_size=0)
    config.model = config.model.student
    with pytest.raises(ValueError, match='trains a TopdownPoseEstimator'):
        cached(config, tmp_path / 'cache')


@pytest.mark.parametrize('model, loaded, message', [
    ('one', 'one', None), (None, None, None),
    ('one', 'two', r'model.teacher_cache is one, but '
     r'train_dataloader.dataset.pipeline.0.cache is two.*same folder'),
    ('one', None, 'is one, but no LoadTeacherTargets'),
    (None, 'two', 'is None, but train_dataloader.*cache is two')])
def test_model_and_pipeline_name_the_same_cache(make_config, model, loaded,
                                                message):
    config = make_config()
    if model:
        config.model.teacher_cache = model
    if loaded:
        config.train_dataloader.dataset.pipeline.insert(
            0, dict(type='LoadTeacherTargets', cache=loaded))
    if message is None:
        check_cache_of_config(config)
    else:
        with pytest.raises(WrongTeacherCache, match=message):
            check_cache_of_config(config)


def test_targets_that_float16_cannot_hold(make_config, tmp_path):
    config = make_config()
    state = torch.load(config.model.teacher_checkpoint)
    state['state_dict']['head.final_layer.bias'].fill_(1e5)
    torch.save(state, config.model.teacher_checkpoint)
    with pytest.raises(ValueError, match='float16 cannot hold'):
        cached(config, tmp_path / 'cache')
    cached(config, tmp_path / 'other', dtype='float32')


def test_the_command_line(make_config, tmp_path, monkeypatch, capsys):
    config = make_config()
    config.dump(str(tmp_path / 'config.py'))

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', [
            'cache_teacher.py', str(tmp_path / 'config.py'), '--out',
            str(tmp_path / 'cache'), *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOL), run_name='__main__')
        return ended.value.code, capsys.readouterr()

    code, output = run('--batch-size', '4')
    assert code == 0, output.err
    assert '10 samples, of which 10 now, in 0.1 MB' in output.out
    assert '10/10' in output.err
    code, output = run('--dtype', 'float32')
    assert (code, output.err.startswith('error: ')) == (1, True)
    assert 'the dtype differ' in output.err
    code, output = run('--cfg-options', 'model.teacher_checkpoint=none.pth')
    assert code == 1
    assert 'model.teacher_checkpoint: none.pth' in output.err
