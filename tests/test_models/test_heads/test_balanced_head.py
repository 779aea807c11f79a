"""Stock heads of several losses, with a balancer between them."""

import copy
import math
import re
from pathlib import Path
from types import SimpleNamespace

from mmpose_wloss.common import awaited_losses
from mmpose_wloss.models.module_contexts import recorded

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_state_dict
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from mmpose.utils.hooks import rsetattr
from small_networks import hrnet_network, shrink_images
from torch import nn

CONFIG = Path(__file__).parents[3] / 'configs' / 'dekr_balanced_coco.py'
K, SIZE = 4, 16
CODEC = dict(input_size=(64, 64), heatmap_size=(SIZE, SIZE))
EMBEDDING = dict(
    type='AssociativeEmbeddingHead', in_channels=8, num_keypoints=K,
    deconv_out_channels=(6, ), deconv_kernel_sizes=(4, ),
    decoder=dict(type='AssociativeEmbedding',
                 decode_keypoint_order=list(range(K)), **CODEC))
DEKR = dict(
    type='DEKRHead', in_channels=8, num_keypoints=K, num_heatmap_filters=4,
    num_displacement_filters_per_keypoint=3,
    heatmap_loss=dict(type='KeypointMSELoss', use_target_weight=True),
    displacement_loss=dict(type='SoftWeightSmoothL1Loss',
                           use_target_weight=True, supervise_empty=False,
                           beta=1 / 9, loss_weight=0.002),
    decoder=dict(type='SPR', sigma=(4, 2), generate_keypoint_heatmaps=True,
                 **CODEC))
HEADS = [
    (EMBEDDING, dict(kpt='loss_kpt', pull='loss_pull', push='loss_push')),
    (DEKR, dict(heatmap='loss/heatmap', displacement='loss/displacement')),
]
BALANCERS = ['AdaptiveBalancer', 'ManualBalancer', 'GradNormBalancer',
             'DynamicTaskPriorityBalancer', 'UncertaintyBalancer']
both = pytest.mark.parametrize('head, terms', HEADS, ids=['ae', 'dekr'])


def balanced(head, terms, balancer='ManualBalancer', **kwargs):
    config = dict(type=balancer)
    if balancer == 'ManualBalancer':
        names = terms if isinstance(terms, dict) else [
            key.replace('loss', '').strip('_/') for key in terms]
        config['ratios'] = {name: 1. for name in names}
    torch.manual_seed(0)
    return MODELS.build(dict(type='BalancedHead', head=head, terms=terms,
                             balancer=config, **kwargs))


def stock(head):
    torch.manual_seed(0)
    return MODELS.build(head)


def batch(head, count=2, people=2):
    """Features with gradient, and samples, that the head takes."""
    generator = torch.Generator().manual_seed(1)
    size = SIZE // 2 if head is EMBEDDING else SIZE
    features = torch.randn(count, 8, size, size, generator=generator)
    samples = []
    for _ in range(count):
        channels = K + (head is DEKR)
        fields = PixelData(
            heatmaps=torch.rand(channels, SIZE, SIZE, generator=generator),
            heatmap_mask=torch.ones(1, SIZE, SIZE))
        if head is DEKR:
            fields.heatmap_mask = fields.heatmap_mask.expand(channels, -1, -1)
            fields.heatmap_weights = torch.ones_like(fields.heatmaps)
            fields.displacements = torch.randn(2 * K, SIZE, SIZE,
                                               generator=generator)
            fields.displacement_weights = torch.ones(2 * K, SIZE, SIZE)
        # weights of an image and indices of its people
        labels = SimpleNamespace(
            keypoint_weights=torch.ones(1, K),
            keypoint_indices=torch.stack([
                torch.randint(0, SIZE**2, (people, K), generator=generator),
                torch.ones(people, K, dtype=torch.long)], -1))
        samples.append(SimpleNamespace(
            gt_fields=fields, gt_instance_labels=labels,
            metainfo=dict(img_shape=(64, 64), input_size=(64, 64),
                          flip_indices=list(range(K)))))
    return (features.requires_grad_(), ), samples


def total(losses):
    return BaseModel.parse_losses(None, losses)


# It is the stock head


@both
def test_the_state_is_the_stock_heads(head, terms):
    ours = balanced(head, terms, 'GradNormBalancer')
    theirs = stock(head)
    extra = {f'balancer.{key}' for key in ('weights', 'initial', 'names')}
    assert ours.state_dict().keys() == theirs.state_dict().keys() | extra
    # a stock checkpoint loads, and its own loads back
    for parameter in theirs.parameters():
        parameter.data.uniform_()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    state = ours.state_dict()
    result = stock(head).load_state_dict(state, strict=False)
    assert set(result.unexpected_keys) == extra and not result.missing_keys
    for key, value in theirs.state_dict().items():
        assert torch.equal(state[key], value)
    # versions of modules, by which they convert old states
    assert (theirs.state_dict()._metadata.items() <= state._metadata.items())
    balanced(head, terms, 'GradNormBalancer').load_state_dict(state, strict=True)


@pytest.mark.parametrize('load', [nn.Module.load_state_dict, load_state_dict],
                         ids=['torch', 'mmengine'])
@pytest.mark.parametrize('version', [1, 2])
def test_states_are_converted_as_the_stock_head_does(version, load):
    """DEKR's root heatmap comes first in states of MMPose 0.x, last in 1.x."""
    network = nn.ModuleDict(dict(head=stock(DEKR)))
    state = network.state_dict()
    state._metadata['head']['version'] = version
    loaded = []
    for head in (stock(DEKR), balanced(*HEADS[1])):
        model = nn.ModuleDict(dict(head=head))
        load(model, state, strict=True)
        loaded.append(model.state_dict()['head.heatmap_conv_layers.2.weight'])
    assert torch.equal(*loaded)
    assert (version == 2) == torch.equal(
        loaded[0], state['head.heatmap_conv_layers.2.weight'])


def test_what_it_has_not_is_the_heads():
    model = balanced(*HEADS[1])
    assert model.decoder is model.head.decoder
    assert model.decode == model.head.decode
    # as hooks of MMPose switch heads
    rsetattr(model, 'decoder.sigma', (3, 1))
    model.num_keypoints = 3
    assert model.head.decoder.sigma == (3, 1)
    assert model.head.num_keypoints == 3 and 'num_keypoints' not in vars(model)
    model.test_cfg = dict(flip_test=True)
    assert model.test_cfg == dict(flip_test=True)
    # and as others record what goes through
    with recorded(model, 'forward') as outside, recorded(
            model.head, 'forward') as inside:
        (features, ), samples = batch(DEKR)
        model.forward((features, ))
        model.loss((features, ), samples)
    assert len(outside) == 1 and len(inside) == 2
    with pytest.raises(AttributeError, match='no_such_thing'):
        model.no_such_thing  # noqa: B018


@both
@torch.no_grad()
def test_it_predicts_as_the_stock_head(head, terms):
    features, samples = batch(head, count=1)
    config = dict(flip_test=False, multiscale_test=False, shift_heatmap=False)
    given = features if head is DEKR else list(features)
    found = []
    for each in (balanced(head, terms).eval(), stock(head).eval()):
        predictions = each.predict(given, samples, config)
        if isinstance(predictions, tuple):
            predictions = predictions[0]
        found.append([*each.forward(given), predictions[0].keypoints,
                      predictions[0].keypoint_scores])
    torch.testing.assert_close(*found, rtol=0, atol=0)


@both
def test_ratios_of_1_are_the_stock_loss_bit_for_bit(head, terms):
    found = []
    for each in (balanced(head, terms), stock(head)):
        loss, _ = total(each.loss(*batch(head)))
        loss.backward()
        found.append((loss.detach(), [
            parameter.grad for parameter in each.parameters()
            if parameter.grad is not None]))
    torch.testing.assert_close(*found, rtol=0, atol=0)
    assert any(gradient.any() for gradient in found[0][1])


def test_it_can_be_copied():
    head = balanced(EMBEDDING, HEADS[0][1], 'GradNormBalancer')
    other = copy.deepcopy(head)
    total(other.loss(*batch(EMBEDDING)))
    assert (other.balancer.weights != 1).all()
    assert (head.balancer.weights == 1).all()


# Balanced


def test_what_is_not_named_passes():
    theirs = stock(EMBEDDING).loss(*batch(EMBEDDING))
    losses = balanced(EMBEDDING, ['loss_pull', 'loss_push']).loss(
        *batch(EMBEDDING))
    assert list(losses)[:3] == list(theirs) == [
        'loss_kpt', 'loss_pull', 'loss_push']
    assert losses['loss_kpt'] == theirs['loss_kpt']
    assert 'weight_kpt' not in losses and losses['weight_pull'] == 1


class SeveralLosses(nn.Module):

    def __init__(self, values):
        super().__init__()
        self.deconv_layers = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
        self.values = values

    def loss(self, feats, batch_data_samples, train_cfg=None):
        value = self.deconv_layers(feats[0]).square().sum()
        return self.values(value)


@pytest.fixture
def several(monkeypatch):
    """Makes configs of a head that returns these values of a loss."""
    monkeypatch.setitem(MODELS.module_dict, 'SeveralLosses', SeveralLosses)
    return lambda values: dict(type='SeveralLosses', values=values)


def features(requires_grad=True):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(2, 3, generator=generator,
                        requires_grad=requires_grad), )


def two_losses(value):
    return dict(loss_a=value, loss_b=3 * value)


def test_losses_of_several_stages_are_added_up(several):
    head = several(lambda value: {'loss.stages': [value, 2 * value, 3 * value],
                                  'loss-other': value})
    losses = balanced(head, {'stages': 'loss.stages',
                             'other': 'loss-other'}).loss(features(), [])
    torch.testing.assert_close(losses['loss_stages'], 6 * losses['loss_other'])
    named = balanced(head, ['loss.stages', 'loss-other'], 'AdaptiveBalancer')
    assert named.balancer.terms == ['stages', 'other']


def test_figures_of_the_head_set_priorities(several):
    head = several(lambda value: dict(
        loss_easy=value, loss_hard=value, loss_left=value,
        acc_pose=torch.tensor(0.9)))
    losses = balanced(head, ['loss_easy', 'loss_hard'],
                      'DynamicTaskPriorityBalancer',
                      kpis=dict(easy='acc_pose')).loss(features(), [])
    assert losses['weight_easy'].item() == pytest.approx(
        -0.1 * math.log(0.9), rel=1e-4)
    assert losses['weight_hard'] > 6
    assert losses['acc_pose'] == torch.tensor(0.9)


@pytest.mark.parametrize('layer', [None, 'deconv_layers.0'])
def test_what_gradients_are_measured_with(several, layer):
    model = balanced(several(two_losses), ['loss_a', 'loss_b'],
                     shared_layer=layer)
    model.balancer.grad_norm_interval = 1
    feats = (*features(), features(requires_grad=False)[0])
    losses = model.loss(feats, [])
    gradient = torch.autograd.grad(losses['loss_b'], list(
        model.get_submodule(f'head.{layer}').parameters()) if layer
        else feats[:1])
    norm = torch.cat([each.flatten() for each in gradient]).norm()
    torch.testing.assert_close(losses['grad_norm_b'], norm)
    torch.testing.assert_close(losses['grad_norm_a'], norm / 3)


def test_frozen_features(several):
    arguments = several(two_losses), ['loss_a', 'loss_b']
    frozen = features(requires_grad=False)
    model = balanced(*arguments, 'GradNormBalancer')
    with pytest.raises(ValueError, match='shared_layer'):
        model.loss(frozen, [])
    # which other balancers, and a validation loss, do not mind
    model.eval().loss(frozen, [])
    balanced(*arguments).loss(frozen, [])
    model = balanced(*arguments, 'GradNormBalancer',
                     shared_layer='deconv_layers.0')
    model.loss(frozen, [])
    assert (model.balancer.weights != 1).all()
    model.deconv_layers.requires_grad_(False)
    with pytest.raises(ValueError, match='shared_layer'):
        model.loss(features(), [])


# A sum of losses


DSNT = dict(
    type='DSNTHead', in_channels=8, in_featuremap_size=(4, 4), num_joints=K,
    deconv_out_channels=(6, 6), deconv_kernel_sizes=(4, 4),
    decoder=dict(type='IntegralRegressionLabel', input_size=(64, 64),
                 heatmap_size=(SIZE, SIZE), sigma=2.))
PARTS = dict(coordinate='loss_kpt[0]', heatmap='loss_kpt[1]')


def one_person(count=2):
    """What DSNTHead takes."""
    generator = torch.Generator().manual_seed(1)
    samples = []
    for _ in range(count):
        sample = PoseDataSample()
        sample.gt_instance_labels = InstanceData(
            keypoint_labels=torch.rand(1, K, 2, generator=generator),
            keypoint_weights=torch.ones(1, K))
        sample.gt_fields = PixelData(
            heatmaps=torch.rand(K, SIZE, SIZE, generator=generator) / SIZE**2)
        samples.append(sample)
    feature = torch.randn(count, 8, 4, 4, generator=generator)
    return (feature.requires_grad_(), ), samples


def test_a_sum_of_losses_is_taken_apart():
    found = []
    for each in (balanced(DSNT, PARTS), stock(DSNT)):
        losses = each.loss(*one_person())
        loss, log = total(losses)
        loss.backward()
        found.append((loss.detach(), [
            parameter.grad for parameter in each.parameters()]))
        if 'loss_kpt' not in losses:
            assert list(losses)[:2] == ['loss_coordinate', 'loss_heatmap']
            assert losses['raw_coordinate'] > 0 and losses['raw_heatmap'] > 0
    torch.testing.assert_close(*found, rtol=0, atol=0)
    assert 'forward' not in vars(each.loss_module)


def test_what_a_head_leaves_out_of_its_sum_does_not_count(monkeypatch):
    epochs = SimpleNamespace(get_info=lambda name: 3)
    monkeypatch.setattr('mmengine.logging.MessageHub.get_current_instance',
                        lambda: epochs)
    for start, seen in ((4, True), (3, False)):
        model = balanced(dict(DSNT, lambda_t=start), PARTS)
        losses = model.loss(*one_person())
        assert (losses['loss_heatmap'] > 0) == seen
        loss, _ = total(losses)
        torch.testing.assert_close(loss, total(
            stock(dict(DSNT, lambda_t=start)).loss(*one_person()))[0])


def test_losses_of_a_sum_are_balanced():
    model = balanced(DSNT, PARTS, 'GradNormBalancer')
    for _ in range(3):
        losses = model.loss(*one_person())
    assert losses['weight_coordinate'] != losses['weight_heatmap']
    with torch.no_grad():
        losses = model.eval().loss(*one_person())
    assert losses['raw_heatmap'] > 0


def test_a_loss_of_a_sum_is_missing():
    model = balanced(DSNT, ['loss_kpt[1]'], 'AdaptiveBalancer')
    with pytest.raises(ValueError, match=r"each loss.*loss_kpt\[0\]"):
        model.loss(*one_person())


@pytest.mark.parametrize('head, terms', [
    (DEKR, ['loss/heatmap[0]', 'loss/heatmap[1]']),
    (DSNT, ['loss_kpt[0]', 'loss_other[1]'])], ids=['dekr', 'two sums'])
def test_sums_that_are_none(head, terms):
    with pytest.raises(ValueError, match='terms=.*MultipleLossWrapper'):
        balanced(head, terms, 'AdaptiveBalancer')


# Wrong input


@pytest.mark.parametrize('arguments, message', [
    (dict(terms=['loss']), r"terms=\['loss'\]"),
    (dict(terms=['loss_a', 'loss/a']), "terms=.*'loss/a'"),
    (dict(terms=dict(a='loss_a', b='loss_a')), "terms=.*'b': 'loss_a'"),
    (dict(kpis=dict(c='acc')), "kpis=.*'c'.*'a', 'b'"),
    (dict(shared_layer='deconv_layers.7'), "SeveralLosses.*'deconv_layers.7'"),
    # which has no parameters
    (dict(shared_layer='deconv_layers.1'), "SeveralLosses.*'deconv_layers.1'"),
    (dict(head=dict(type='BalancedHead', terms=['loss_a'],
                    balancer=dict(type='AdaptiveBalancer'))),
     'BalancedHead has a balancer')])
def test_wrong_arguments(several, arguments, message):
    arguments = dict(dict(terms=['loss_a', 'loss_b'], head=several(two_losses),
                          balancer='AdaptiveBalancer'), **arguments)
    if arguments['head']['type'] == 'BalancedHead':
        arguments['head'] = dict(arguments['head'], head=several(two_losses))
    with pytest.raises(ValueError, match=message):
        balanced(**arguments)


@pytest.mark.parametrize('arguments', [
    dict(terms=['loss_a', 'loss_c']),
    dict(terms=['loss_a', 'loss_b'], kpis=dict(a='loss_c'))])
def test_a_typo(several, arguments, monkeypatch):
    """A warning in the first training step, an error in the last of 100."""
    lines = []
    monkeypatch.setattr(awaited_losses, 'print_log',
                        lambda line, *_: lines.append(line))
    model = balanced(several(two_losses), balancer='AdaptiveBalancer',
                     **arguments)
    # steps of an evaluation do not count
    for mode, count in ((False, 120), (True, 99)):
        model.train(mode)
        for _ in range(count):
            model.loss(features(), [])
    message = r"\['loss_c'\].*SeveralLosses.*\['loss_a', 'loss_b'\]"
    line, = lines
    assert re.search(message, line)
    with pytest.raises(ValueError, match=message):
        model.loss(features(), [])


def test_a_loss_that_is_rare_is_no_typo(several):
    steps = []

    def values(value):
        steps.append(0)
        # in the 99th step for the first time, and never again
        losses = two_losses(value)
        return losses if len(steps) == 99 else dict(loss_a=losses['loss_a'])

    model = balanced(several(values), ['loss_a', 'loss_b'])
    for _ in range(210):
        losses = model.loss(features(), [])
        assert (losses['loss_b'] > 0) == (len(steps) == 99)


# Losses that a batch without people has not


def detector(name):
    """A stock head that finds people first, of 16 channels."""
    folder, config = dict(
        RTMOHead=('rtmo', 'rtmo-s_8xb32-600e_coco-640x640'),
        YOLOXPoseHead=('yoloxpose', 'yoloxpose_s_8xb32-300e_coco-640'))[name]
    head = get_config(f'mmpose::body_2d_keypoint/{folder}/coco/{config}.py'
                      ).model.head
    module = head.head_module_cfg
    module.pop('widen_factor', None)
    head.featmap_strides = head.prior_generator.strides = [16, 32]
    if name == 'YOLOXPoseHead':
        module.update(in_channels=32, feat_channels=16)
        return head
    # half of the features are for the class, half for the pose
    module.update(in_channels=16, cls_feat_channels=16, num_groups=8,
                  channels_per_group=2, pose_vec_channels=16)
    head.dcc_cfg.update(in_channels=16, feat_channels=16, num_bins=(12, 16),
                        spe_channels=16)
    return head


def scene(people):
    """Features of two levels and an image of 128 x 128 with people."""
    generator = torch.Generator().manual_seed(0)
    feats = tuple(torch.randn(1, 32, size, size, generator=generator,
                              requires_grad=True) for size in (8, 4))
    labels = InstanceData(
        bboxes=torch.tensor([[16., 16., 112., 112.]]).repeat(people, 1),
        keypoints=16 + 96 * torch.rand(people, 17, 2, generator=generator),
        keypoints_visible=torch.ones(people, 17),
        areas=torch.full((people, ), 4000.),
        labels=torch.zeros(people, dtype=torch.long))
    return feats, [PoseDataSample(gt_instance_labels=labels)]


@pytest.mark.parametrize('name, losses, balancer', [
    *(('RTMOHead', ['bbox', 'vis', 'mle', 'oks', 'cls'], balancer)
      for balancer in BALANCERS),
    ('YOLOXPoseHead', ['obj', 'bbox', 'kpt', 'vis', 'cls'], 'GradNormBalancer')])
def test_a_batch_without_people(name, losses, balancer):
    init_default_scope('mmpose')
    model = balanced(detector(name), [f'loss_{term}' for term in losses],
                     balancer)
    for people in (0, 4, 0, 6):
        before = {key: value.clone() for key, value in
                  model.balancer.state_dict().items()}
        feats, samples = scene(people)
        bare = model.head.loss(feats, samples)
        result = model.loss(feats, samples)
        sum(result[f'loss_{term}'] for term in losses).backward()
        for tensor in (*feats, *model.parameters()):
            assert tensor.grad.isfinite().all()
            tensor.grad = None
        for index, term in enumerate(losses):
            there = f'loss_{term}' in bare
            assert there == bool(people or term in (
                'obj', *['cls'] * (name == 'RTMOHead')))
            if there:
                assert result[f'raw_{term}'] == bare[f'loss_{term}'].mean() > 0
                continue
            # nobody sees it, which moves nothing
            assert result[f'loss_{term}'] == result[f'raw_{term}'] == 0
            for part, value in model.balancer.state_dict().items():
                if part != 'names':
                    assert value[index] == before[part][index]
    if 'initial' in before:
        assert (before['initial'] > 0).all()


@pytest.mark.parametrize('terms', [
    dict(b='loss_a'), dict(c='loss_a'), dict(a='loss_a', b='loss_c')])
def test_names_that_are_taken(several, terms):
    head = several(lambda value: dict(loss_a=value, loss_b=value,
                                      loss_c=value, weight_c=value))
    with pytest.raises(ValueError, match=re.escape(f'terms {list(terms)}')):
        balanced(head, terms).loss(features(), [])


# The recipe


def test_the_recipe_trains_and_predicts(coco_root):
    config = Config.fromfile(CONFIG)
    head, backbone = config.model.head.head, config.model.backbone
    backbone.update(hrnet_network()['backbone'], init_cfg=None)
    backbone.extra.stage4.multiscale_output = True
    head.in_channels = 4 + 8 + 8 + 8
    head.rescore_cfg.pop('init_cfg')
    shrink_images(config)
    for mode in ('train', 'val'):
        loader = config[f'{mode}_dataloader']
        loader.update(num_workers=0, persistent_workers=False,
                      batch_size=2 if mode == 'train' else 1)
        loader.dataset.update(
            data_root=str(coco_root), data_prefix=dict(img=f'{mode}2017/'),
            ann_file=f'annotations/person_keypoints_{mode}2017.json')
    init_default_scope('mmpose')
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), 1e-3))
    batch = next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))
    losses = model.train().train_step(batch, optimizer)
    assert math.isfinite(losses['loss'])
    # from the first batch on, both have equal shares
    for term in ('heatmap', 'displacement'):
        assert losses[f'weight_{term}'] * losses[f'raw_{term}'] == (
            pytest.approx(0.5, rel=1e-4))
    batch = next(iter(Runner.build_dataloader(config.val_dataloader, seed=0)))
    with torch.no_grad():
        result, = model.eval().val_step(batch)
    assert result.pred_instances.keypoints.shape[1:] == (17, 2)
