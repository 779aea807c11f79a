"""A student that learns from labels and from a teacher."""

import copy
from pathlib import Path
from types import SimpleNamespace

from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.engine.hooks import DistillationHook

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models.backbones.base_backbone import BaseBackbone
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from packaging.version import Version
from small_networks import (
    KEYPOINTS,
    MEGVII,
    NETWORKS,
    batch_for,
    checkpoint_of,
    distiller,
    heatmap_network,
    hourglass_network,
    losses_of,
)
from small_trainings import same

DATA = Path(__file__).parents[2] / 'data' / 'fpd_loss.npz'


@MODELS.register_module(force=True)
class FixedHeatmaps(BaseBackbone):
    """Predicts the same, whatever the images are."""

    def __init__(self, shape):
        super().__init__()
        self.stages = torch.nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return list(self.stages)


def fixed_network(shape, loss='KeypointMSELoss'):
    stages, _, joints, height, width = shape
    codec = dict(type='MSRAHeatmap', input_size=(4 * width, 4 * height),
                 heatmap_size=(width, height), sigma=1.)
    return dict(
        type='TopdownPoseEstimator',
        backbone=dict(type='FixedHeatmaps', shape=shape),
        head=dict(type='CPMHead', in_channels=joints, out_channels=joints,
                  num_stages=stages, final_layer=None, decoder=codec,
                  loss=dict(type=loss, use_target_weight=True)))


def total(losses):
    return sum(value for key, value in losses.items() if 'loss' in key)


def test_the_loss_is_the_original_implementations(tmp_path):
    data = dict(np.load(DATA))
    heatmaps = {key: torch.from_numpy(data[key].astype(np.float32))
                for key in ('target', 'teacher', 'student0', 'student1')}
    shape = heatmaps['target'].shape
    teacher, student = fixed_network((1, *shape)), fixed_network((2, *shape))
    trained = MODELS.build(teacher)
    trained.backbone.stages.data[0] = heatmaps['teacher']
    torch.save(trained.state_dict(), tmp_path / 'teacher.pth')
    model = distiller(student, teacher, tmp_path, alpha=float(data['alpha']),
                      teacher_checkpoint=str(tmp_path / 'teacher.pth'))
    for stage in (0, 1):
        model.student.backbone.stages.data[stage] = heatmaps[f'student{stage}']

    samples = []
    for target, labeled in zip(heatmaps['target'], data['labeled'], strict=True):
        sample = PoseDataSample(metainfo=dict(labeled=bool(labeled)))
        sample.gt_instance_labels = InstanceData(
            keypoint_weights=torch.ones(1, shape[1]))
        if labeled:
            sample.gt_fields = PixelData(heatmaps=target)
        samples.append(sample)
    losses = model.loss(torch.zeros(shape[0], 3, 8, 8), samples)

    alpha = float(data['alpha'])
    found = dict(gt_loss=losses['loss_kpt'] / (1 - alpha),
                 kd_loss=losses['loss_distill'] / alpha,
                 unlabeled_kd_loss=losses['loss_distill_unlabeled'],
                 total=total(losses))
    for key, value in found.items():
        assert value.item() == pytest.approx(float(data[key]), rel=1e-5), key


@pytest.mark.parametrize('name', NETWORKS)
def test_alpha_0_is_the_stock_training(name, tmp_path):
    config = NETWORKS[name]()
    data = batch_for(config, unlabeled=0)
    model = distiller(config, config, tmp_path, alpha=0.,
                      teacher_checkpoint='there is none')
    stock = MODELS.build(config)
    stock.load_state_dict(model.student.state_dict())
    assert same(losses_of(model, data), losses_of(stock, data))


@pytest.mark.parametrize('name', NETWORKS)
def test_a_student_learns_what_its_teacher_knows(name, tmp_path):
    """A step downhill brings each kind of student closer to its teacher."""
    config = NETWORKS[name]()
    data = batch_for(config)
    model = distiller(config, config, tmp_path, alpha=1.)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.
    with torch.no_grad():
        # heatmaps are next to 0 before any training: nothing to learn
        for layer in model.teacher.network.head.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.bias is not None:
                layer.bias += 0.5
    losses = losses_of(model, data)
    assert losses['loss_kpt'] == 0
    before = total(losses)
    before.backward()
    parameters = list(model.parameters())
    slope = sum(value.grad.square().sum() for value in parameters)
    assert slope > 0
    with torch.no_grad():
        for value in parameters:
            value -= 0.01 * before / slope * value.grad
    after = total(losses_of(model, data))
    assert 0.98 * before < after < before


def test_labels_of_others_do_not_matter_to_an_unlabeled_sample(tmp_path):
    """Each part of a mixed batch has the loss that it has by itself."""
    shape = (2, 6, KEYPOINTS, 8, 8)
    torch.manual_seed(0)
    model = distiller(fixed_network(shape), fixed_network(shape), tmp_path)
    model.student.backbone.stages.data.normal_()
    model.teacher.network.backbone.stages.data.normal_()
    network = dict(head=dict(decoder=fixed_network(shape)['head']['decoder']))

    def losses(labeled, unlabeled):
        data = batch_for(network, labeled, unlabeled)
        return model.loss(torch.zeros(6, 3, 8, 8), data['data_samples'])

    mixed, labeled, unlabeled = losses(3, 3), losses(6, 0), losses(0, 6)
    assert set(labeled) == {'loss_kpt', 'acc_pose', 'loss_distill'}
    assert set(unlabeled) == {'loss_distill_unlabeled'}
    # of the losses of whole batches, those of the halves
    by_sample = (model.student.backbone.stages - model.teacher(
        torch.zeros(6, 3, 8, 8))).square().mean(dim=(2, 3, 4)).sum(dim=0) / 6
    torch.testing.assert_close(
        unlabeled['loss_distill_unlabeled'], by_sample.sum())
    torch.testing.assert_close(
        mixed['loss_distill_unlabeled'], by_sample[3:].sum())
    assert mixed['loss_kpt'] < labeled['loss_kpt']


def test_the_teacher_is_frozen_and_no_part_of_the_model(tmp_path):
    config = hourglass_network()
    model = distiller(config, config, tmp_path)
    before = {key: value.clone() for key, value in
              model.teacher.network.state_dict().items()}
    model.train()
    total(losses_of(model, batch_for(config))).backward()
    network = model.teacher.network
    assert not any(part.training for part in network.modules())
    assert all(value.grad is None and not value.requires_grad
               for value in network.parameters())
    assert same(network.state_dict(), before)
    # norms of the student are trained, so the mode is not theirs
    assert all(part.training for part in model.student.modules())

    names = {key.split('.')[0] for key in model.state_dict()}
    assert names <= {'student', 'data_preprocessor'}
    assert len(list(model.parameters())) == len(list(model.student.parameters()))


def test_the_teacher_moves_along(tmp_path):
    config = heatmap_network()
    model = distiller(config, config, tmp_path).double()
    assert all(value.dtype == torch.float64
               for value in model.teacher.network.parameters())
    twin = copy.deepcopy(model).float()
    assert next(twin.teacher.network.parameters()).dtype == torch.float32
    assert next(model.teacher.network.parameters()).dtype == torch.float64


def test_testing_needs_no_teacher(tmp_path):
    config = heatmap_network()
    model = MODELS.build(dict(
        type='FastPoseDistiller', student=config, teacher='there/is/none.py',
        teacher_checkpoint='there/is/none.pth'))
    model.eval()
    stock = MODELS.build(config)
    stock.load_state_dict(model.student.state_dict())
    stock.eval()
    expected = stock.val_step(batch_for(config))
    for step in (model.val_step, model.test_step):
        for ours, theirs in zip(step(batch_for(config)), expected, strict=True):
            np.testing.assert_array_equal(ours.pred_instances.keypoints,
                                          theirs.pred_instances.keypoints)
    images = torch.rand(2, 3, 64, 48)
    assert torch.equal(model(images), stock(images, None))


@pytest.mark.parametrize('loss', [
    dict(type='FocusMSELoss', gamma=1.5, delta=0.1),
    dict(type='WeightAdaptiveMSELoss'),
    dict(type='HeatmapWeightingMSELoss'),
    dict(type='AdaptiveWingLoss'),
    dict(type='KeypointOHKMMSELoss', topk=2),
], ids=lambda loss: loss['type'])
def test_other_losses_can_be_the_criterion(loss, tmp_path):
    config = heatmap_network(loss=dict(loss, use_target_weight=True))
    model = distiller(config, config, tmp_path)
    # far outside of what a target of labels can be
    with torch.no_grad():
        model.teacher.network.head.final_layer.bias.copy_(
            torch.tensor([-0.3, 1.4, 0., 0.5, -0.1]))
    losses = losses_of(model, batch_for(config))
    assert all(torch.isfinite(value).all() for value in losses.values())
    total(losses).backward()
    assert all(torch.isfinite(value.grad).all()
               for value in model.student.parameters())


@pytest.mark.parametrize('name', ['MSRA', 'hourglass', 'SimCC'])
def test_weights_of_poses_are_linear(name, tmp_path):
    """As PoseDensityWeights sets them: in keypoint_weights."""
    config = NETWORKS[name]()
    model = distiller(config, config, tmp_path)
    # statistics of the batch would be the same; those that run would not
    model.eval()

    def losses(factor):
        data = batch_for(config)
        for sample in data['data_samples']:
            sample.gt_instance_labels.keypoint_weights *= factor
        return losses_of(model, data)

    once, thrice = losses(1.), losses(3.)
    for key, value in once.items():
        if 'loss' in key:
            torch.testing.assert_close(thrice[key], 3 * value)


def test_joints_without_a_label_can_be_taught(tmp_path):
    config = heatmap_network()
    model = distiller(config, config, tmp_path, alpha=1.)
    everyone = distiller(config, config, tmp_path, alpha=1.,
                         teach_all_joints=True)
    data = batch_for(config, 4, 0)
    for sample in data['data_samples']:
        sample.gt_instance_labels.keypoint_weights[:] = torch.tensor(
            [2., 2., 0., 0., 0.])

    def taught(model):
        model.eval()
        model.zero_grad()
        total(losses_of(model, copy.deepcopy(data))).backward()
        return model.student.head.final_layer.bias.grad != 0

    assert taught(model).tolist() == [True, True, False, False, False]
    assert taught(everyone).all()
    for sample in data['data_samples']:
        sample.gt_instance_labels.keypoint_weights[:] = 2.
    assert torch.equal(losses_of(model, copy.deepcopy(data))['loss_distill'],
                       losses_of(everyone, data)['loss_distill'])


@pytest.mark.parametrize('arguments', [
    dict(), dict(alpha=0., unlabeled_weight=0., teacher_checkpoint='none'),
    dict(unlabeled_weight=0.)],
    ids=['nobody has a label', 'no weight', 'no weight of the unlabeled'])
def test_where_nothing_is_learned_gradients_are_0(arguments, tmp_path):
    config = heatmap_network()
    model = distiller(config, config, tmp_path, **arguments)
    data = batch_for(config, 0 if arguments else 3)
    for sample in data['data_samples']:
        sample.gt_instance_labels.keypoint_weights[:] = 0.
    losses = losses_of(model, data)
    assert total(losses).item() == 0
    total(losses).backward()
    assert all((value.grad == 0).all()
               for value in model.student.parameters())


@pytest.mark.parametrize('name, dtype', [
    ('MSRA', torch.float16), ('MSRA', torch.bfloat16),
    ('hourglass', torch.bfloat16), ('RTMPose', torch.bfloat16)])
def test_half_precision(name, dtype, tmp_path):
    if dtype == torch.float16 and Version(torch.__version__) < Version('2.3'):
        pytest.skip('autocast knows no float16 on the CPU before torch 2.3')
    config = NETWORKS[name]()
    model = distiller(config, config, tmp_path)
    exact = losses_of(model, batch_for(config))
    with torch.autocast('cpu', dtype=dtype):
        losses = losses_of(model, batch_for(config))
        total(losses).backward()
    for key, value in losses.items():
        if 'loss' in key:
            assert value.dtype == torch.float32
            torch.testing.assert_close(value, exact[key], rtol=0.2, atol=2e-3)


@pytest.mark.parametrize('arguments', [
    dict(alpha=1.5), dict(alpha=float('nan')), dict(unlabeled_weight=-1.),
    dict(test_cfg=dict(flip_test=True)), dict(teacher_checkpoint=None)])
def test_wrong_arguments(arguments, tmp_path):
    config = heatmap_network()
    with pytest.raises(UserError, match=next(iter(arguments))):
        distiller(config, config, tmp_path, **arguments)


def test_teachers_that_do_not_fit(tmp_path):
    config = heatmap_network()
    wide = checkpoint_of(heatmap_network(deconv_out_channels=(8, 16)), tmp_path)
    for teacher, checkpoint in ((config, 'none.pth'), ('none.py', wide)):
        with pytest.raises(MissingFile, match=r'none\.p'):
            distiller(config, teacher, tmp_path, teacher_checkpoint=checkpoint)
    with pytest.raises(UserError, match=r'\(8, 16, 4, 4\) in the '
                       r'checkpoint, \(8, 8, 4, 4\) in the model'):
        distiller(config, config, tmp_path, teacher_checkpoint=wide)


@pytest.mark.parametrize('where', ['head', 'criterion'])
def test_a_loss_that_ignores_weights_cannot_tell_parts_apart(where, tmp_path):
    loss = dict(type='AdaptiveWingLoss')
    config = heatmap_network(**dict(loss=loss) if where == 'head' else {})
    arguments = {} if where == 'head' else dict(criterion=loss)
    model = distiller(config, config, tmp_path, **arguments)
    with pytest.raises(UserError, match='use_target_weight'):
        losses_of(model, batch_for(config))
    assert total(losses_of(model, batch_for(config, 4, 0))) > 0
    few = distiller(config, config, tmp_path, keypoint_mapping=[(0, 0)],
                    **arguments)
    with pytest.raises(UserError, match='use_target_weight'):
        losses_of(few, batch_for(config, 4, 0))


def test_joints_that_the_teacher_lacks_learn_from_labels_alone(tmp_path):
    config = heatmap_network()
    model = distiller(config, config, tmp_path, alpha=1.,
                      keypoint_mapping=[(3, 0), (0, 2)])
    total(losses_of(model, batch_for(config))).backward()
    slopes = model.student.head.final_layer.bias.grad
    assert (slopes != 0).tolist() == [True, False, True, False, False]


def test_loading_a_teacher_draws_nothing(tmp_path):
    config = heatmap_network()
    checkpoint = checkpoint_of(config, tmp_path)
    model = MODELS.build(dict(
        type='FastPoseDistiller', student=config, teacher=config,
        teacher_checkpoint=checkpoint))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert not model.has_teacher
    model.load_teacher()
    assert model.has_teacher
    assert torch.equal(torch.rand(3), expected)


MSPN = dict(
    type='MSPNHead', num_stages=1, num_units=2, out_shape=(16, 12),
    out_channels=KEYPOINTS, unit_channels=64, level_indices=[0, 1], decoder=MEGVII,
    loss=[dict(type='KeypointMSELoss', use_target_weight=True)] * 2)


@pytest.mark.parametrize('student, criterion, message', [
    (NETWORKS['MSRA'](), 'KLDiscretLoss', 'KLDiscretLoss cannot'),
    (NETWORKS['SimCC'](), 'KeypointMSELoss', 'KeypointMSELoss cannot'),
    (NETWORKS['MSRA'](), 'FocalHeatmapLoss', 'FocalHeatmapLoss'),
    # heatmaps of several sizes
    (dict(heatmap_network(), head=MSPN), 'KeypointMSELoss', 'MSPNHead')])
def test_students_and_criteria_that_do_not_fit(student, criterion, message, tmp_path):
    with pytest.raises(UserError, match=message):
        distiller(student, heatmap_network(), tmp_path, criterion=dict(type=criterion))


FEATURES = dict(type='FeaLoss', name='feature', use_this=True, student_channels=64,
                teacher_channels=64, alpha_fea=0.01)


@pytest.mark.parametrize('teacher', ['MSRA', 'hourglass'])
def test_the_last_features_are_taught(teacher, tmp_path):
    """Also where the teacher's are larger and of more channels."""
    config, theirs = NETWORKS['MSRA'](), NETWORKS[teacher]()
    if teacher == 'hourglass':
        theirs['head']['decoder'] = dict(
            theirs['head']['decoder'], input_size=(48, 64), heatmap_size=(12, 16))
    channels = theirs['head']['in_channels']
    model = distiller(config, theirs, tmp_path, alpha=0.3, feature_loss=dict(
        FEATURES, teacher_channels=channels)).eval()
    data = model.data_preprocessor(batch_for(config), True)
    losses = model.loss(torch.stack(list(data['inputs'])), data['data_samples'])
    images = torch.stack(list(data['inputs']))
    with torch.no_grad():
        own = model.student.extract_feat(images)[-1]
        taught = model.teacher.network.extract_feat(
            model.teacher.inputs(images))[-1]
        assert (taught.shape[2:] != own.shape[2:]) == (teacher == 'hourglass')
        taught = torch.nn.functional.interpolate(
            taught, own.shape[2:], mode='bilinear', align_corners=False)
        aligned = own if channels == 64 else model.feature_loss.align(own)
        expected = 0.01 * (aligned - taught).square().sum() / len(images)
    torch.testing.assert_close(losses['loss_feature'], expected)
    # beside it, nothing changes
    plain = distiller(config, theirs, tmp_path, alpha=0.3).eval()
    plain.student.load_state_dict(model.student.state_dict())
    others = plain.loss(images, data['data_samples'])
    for key, value in others.items():
        torch.testing.assert_close(losses[key], value)
    losses['loss_feature'].backward()
    assert next(model.student.backbone.parameters()).grad.abs().sum() > 0
    assert all(each.grad is None for each in model.teacher.parameters())


def test_features_alone_need_a_teacher(tmp_path):
    config = heatmap_network()
    model = distiller(config, config, tmp_path, alpha=0., feature_loss=FEATURES)
    assert model.has_teacher
    losses = losses_of(model, batch_for(config, 4, 0))
    assert losses['loss_feature'] > 0 and 'loss_distill' not in losses


def test_frozen_parts_stay_as_they_are(tmp_path):
    """So the head learns alone, from the network that it was cut from."""
    config = heatmap_network()
    model = distiller(config, config, tmp_path, frozen=['backbone'])
    before = copy.deepcopy(model.student.state_dict())
    optimizer = torch.optim.SGD(
        (each for each in model.parameters() if each.requires_grad), 0.1)
    total(losses_of(model.train(), batch_for(config))).backward()
    optimizer.step()
    after = model.student.state_dict()
    changed = {key.split('.')[0] for key, value in after.items()
               if not torch.equal(value, before[key])}
    assert changed == {'head'}
    with pytest.raises(UserError, match='frozen.*neck'):
        distiller(config, config, tmp_path, frozen=['neck'])


def test_what_the_teacher_teaches_can_fall(tmp_path):
    config = heatmap_network()
    model = distiller(config, config, tmp_path, feature_loss=FEATURES,
                      teacher_decay=True).eval()
    hook = DistillationHook()
    found = []
    for step in (0, 30):
        hook.before_train_iter(SimpleNamespace(
            model=model, train_loop=None, iter=step, max_iters=40), 0)
        found.append(losses_of(model, batch_for(config)))
    for key, value in found[0].items():
        factor = 0.25 if key in ('loss_distill', 'loss_distill_unlabeled',
                                 'loss_feature') else 1.
        torch.testing.assert_close(found[1][key], factor * value)


@pytest.mark.parametrize('student', ['MSRA', 'SimCC', 'offsets', 'RLE'])
def test_several_teachers_know_joints_of_their_own(student, tmp_path):
    config, teacher = NETWORKS[student](), heatmap_network()
    files = [checkpoint_of(teacher, tmp_path, seed, f'{seed}.pth') for seed in (1, 2)]
    mappings = [[(0, 0), (1, 1), (2, 2)], [(4, 2), (3, 3)]]

    def taught_by(*which):
        first, *more = (dict(
            teacher=teacher, teacher_checkpoint=files[index],
            keypoint_mapping=mappings[index]) for index in which)
        return distiller(config, first.pop('teacher'), tmp_path, more_teachers=more,
                         **first)

    both, first, second = taught_by(0, 1), taught_by(0), taught_by(1)
    assert both.teacher.taught.tolist() == [1, 1, 1, 1, 0]
    assert both.teacher.digest not in (first.teacher.digest, second.teacher.digest)
    images = torch.rand(2, 3, 64, 48)
    parts = zip(*(
        value if isinstance(value, tuple) else (value, ) for value in (
            model.teacher(images) for model in (both, first, second))), strict=True)
    for mean, one, other in parts:
        mean, one, other = (each.unflatten(1, (KEYPOINTS, -1)) for each in (
            mean, one, other))
        torch.testing.assert_close(mean[:, :2], one[:, :2])
        torch.testing.assert_close(mean[:, 3], other[:, 3])
        torch.testing.assert_close(mean[:, 2], (one[:, 2] + other[:, 2]) / 2)
    losses = losses_of(both, batch_for(config))
    total(losses).backward()
    assert torch.isfinite(losses['loss_distill'])
    # the preprocessor is the first one's, and so are features
    assert torch.equal(both.teacher.with_features(images)[1],
                       first.teacher.with_features(images)[1])


def test_teachers_that_do_not_go_together(tmp_path):
    simcc, teacher = NETWORKS['SimCC'](), heatmap_network()
    with pytest.raises(UserError, match='SimCC'):
        distiller(simcc, simcc, tmp_path, more_teachers=[dict(
            teacher=teacher, teacher_checkpoint=checkpoint_of(
                teacher, tmp_path, name='other.pth'))])
    # coordinates come from either
    model = distiller(NETWORKS['regression'](), simcc, tmp_path, more_teachers=[dict(
        teacher=teacher, teacher_checkpoint=str(tmp_path / 'other.pth'))])
    first, second = (each(torch.zeros(1, 3, 64, 48))
                     for each in model.teacher.teachers)
    torch.testing.assert_close(
        model.teacher(torch.zeros(1, 3, 64, 48)), (first + second) / 2)
    with pytest.raises(UserError, match=r'more_teachers\[0\]'):
        distiller(teacher, teacher, tmp_path, more_teachers=[dict(checkpoint='a.pth')])
