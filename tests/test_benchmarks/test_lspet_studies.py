"""The studies on LSP-extended, without its images."""

import copy
import json

from mmpose_wloss.common.config_text import without_scope
from mmpose_wloss.datasets.poses import Poses, fit_pose_density

import distillation
import heatmap_losses
import label_next
import numpy as np
import pose_density_weights
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS
from study import ROOT


def config_of(study, name):
    options = dict(study.configurations[name])
    config = Config.fromfile(str(ROOT / options.pop('config', study.config)))
    options.pop('labels', None)
    config.merge_from_dict(options)
    return config


@pytest.mark.parametrize('name', heatmap_losses.STUDY.configurations)
def test_a_loss_builds_and_learns(name):
    config = config_of(heatmap_losses.STUDY, name)
    steps = {step.type: step for step in
             config.train_dataloader.dataset.dataset.pipeline}
    head = config.model.head
    assert without_scope(steps['GenerateTarget'].encoder) == without_scope(
        head.decoder)
    side = head.decoder.heatmap_size[0]
    assert name.startswith(f'{side} ×')
    # a deconvolution doubles the features' 12 pixels
    assert side == 12 * 2**len(head.deconv_out_channels)

    init_default_scope('mmpose')
    torch.manual_seed(0)
    output = torch.rand(2, 14, side, side, requires_grad=True)
    weights = torch.ones(2, 14)
    weights[0, :3] = 0
    MODELS.build(head.loss)(output, torch.rand(2, 14, side, side), weights).backward()
    learned = output.grad.abs().sum((2, 3)) > 0
    assert not learned[0, :3].any() and learned[1].sum() >= 8


@pytest.mark.parametrize('name', pose_density_weights.STUDY.configurations)
def test_weights_go_where_they_are_read(name):
    config = config_of(pose_density_weights.STUDY, name)
    pipeline = config.train_dataloader.dataset.dataset.pipeline
    weighs = [step.get('file') for step in pipeline
              if step.type == 'PoseDensityWeights']
    sampler = config.train_dataloader.sampler
    assert sampler.num_samples == 2000
    if pose_density_weights.SPECIALIST in name or (
            name in pose_density_weights.BALANCED):
        assert not weighs and not config.default_hooks.get('pose_density')
        return
    drawn = 'drawn' in name
    assert drawn == (sampler.type == 'PoseDensitySampler')
    if drawn:
        assert sampler.file == pose_density_weights.file_of(name.split(', ')[2])
    assert weighs[0].startswith(pose_density_weights.FOLDER)
    unweighted = drawn or any(each in name for each in (
        'no weights', pose_density_weights.FEWER))
    assert config.default_hooks.pose_density.weighted is not unweighted


def test_those_labeled_next_stand_beside_the_labeled_ones(monkeypatch, tmp_path):
    study = label_next.STUDY
    order = [17, 5, *range(2000, 2400)]
    file = tmp_path / 'order.json'
    file.write_text(json.dumps(dict(both=order)))
    monkeypatch.setattr(study, 'file_of', lambda seed: file)
    labeled = list(range(600, 900))
    for name in (label_next.RANDOM, '300 more, first by both'):
        options = dict(study.configurations[name])
        people = study.people(options, seed=2)
        assert people[:300] == labeled and len(set(people)) == 600
        assert max(people) < 6000
        # none that a config would not know is left
        assert not {'labels', 'more', 'kpt_thr'} & set(options)
        # as many steps as with 300
        assert options['train_dataloader.dataset.times'] * 600 == 6000
    assert people[300:] == order[:300]
    first, = study.people(dict(study.configurations[label_next.RANDOM]), 2)[300:301]
    assert first != people[300]


def test_rare_poses_without_labels_are_drawn_more_often(monkeypatch):
    study = label_next.UNLABELED_STUDY
    folder = ROOT / 'work_dirs/somewhere'
    monkeypatch.setattr(study, 'file_of', lambda seed: folder / 'people.json')
    config = Config.fromfile(str(ROOT / study.config))
    for name, densities in {
            label_next.EVENLY: None,
            label_next.RARE: [None, 'work_dirs/somewhere/draws.npz']}.items():
        options = dict(study.configurations[name])
        assert study.people(options, seed=1) == list(range(300, 600))
        assert not {'labels', 'drawn'} & set(options)
        changed = copy.deepcopy(config)
        changed.merge_from_dict(options)
        labeled, unlabeled = changed.train_dataloader.dataset.datasets
        assert changed.train_dataloader.sampler.get('densities') == densities
        assert unlabeled.ann_file == 'work_dirs/somewhere/people.json'
        assert labeled.dataset.ann_file == 'lspet_train.json'
        assert changed.val_evaluator.type == 'NetworksEvaluator'
        metric, = changed.val_evaluator.metrics
        assert metric.type == 'PoseRarityMetric'


def test_a_new_head_stands_on_the_student_before(monkeypatch):
    # whose contents are not there
    monkeypatch.setattr('mmpose_wloss.trainings.annotation_files', lambda _: [])
    study = distillation.STUDY
    training = study.training(distillation.HEAD, 1)
    first = study.training(distillation.FEATURES, 1)
    assert training.after.work_dir == first.work_dir
    assert first.after.work_dir == study.training('6,000 labels, teacher', 1).work_dir
    model, file = training.config.model, str(first.work_dir / 'student.pth')
    assert model.teacher_checkpoint == file
    assert model.student.backbone.init_cfg.checkpoint == file
    # nothing replaces it when the training starts
    assert training.checkpoint_key is None


@pytest.mark.parametrize('curve, steps', [
    ({'1': 0.2, '2': 0.6}, 1.5), ({'2': 0.4, '10': 0.5, '1': 0.3}, 2.),
    ({'1': 0.8}, 0.5), ({'1': 0.1, '2': 0.3}, None),
    ({'1': 0.5, '2': 0.1}, 0.8)])
def test_steps_to_a_figure(curve, steps, monkeypatch):
    monkeypatch.setattr(heatmap_losses, 'STEPS', heatmap_losses.EPOCHS)
    assert heatmap_losses.steps_to(curve, 0.4) == (
        steps if steps is None else pytest.approx(steps))


def test_the_original_density_takes_missing_joints_for_rare():
    rng = np.random.default_rng(0)
    poses = rng.normal(0.5, 0.07, (400, 14, 2)).astype(np.float32)
    visible = np.ones((400, 14), bool)
    visible[:80, 9:] = False
    ids = np.arange(400)
    boxes = np.tile(np.float32([0, 0, 1, 1]), (400, 1))
    info = dict(keypoint_id2name={index: f'joint {index}' for index in range(14)},
                dataset_name='people', flip_indices=[*range(14)])
    people = Poses(ids, poses, visible, boxes, [''] * 400, info, [__file__])
    artifacts = {name: fit_pose_density(
        people, normalize='none', mirror=False, mode=mode, bandwidth=0.2)
        for name, mode in (('source', 'source'), ('tempered', 'tempered'))}
    table = pose_density_weights.table_of_weights(
        people, artifacts, artifacts['tempered'].held_out)
    header, people_row, source, tempered = (
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in table.splitlines() if '--' not in line)
    assert [people_row[header.index(name)] for name in (
        'all joints', 'at most 10 joints')] == ['320', '80']
    few = header.index('at most 10 joints')
    assert float(source[few]) > 1.5 > float(tempered[few])
    assert tempered[-1] == '1.00'
