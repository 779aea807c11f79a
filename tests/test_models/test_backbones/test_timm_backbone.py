import sys

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.backbones import TIMMBackbone

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpose.registry import MODELS

# one for each way in which timm gives feature maps: a list of layers, its own class,
# flattened layers, a wrapped network, channels behind
NETWORKS = {
    'test_resnet': (1, 3), 'test_efficientnet': (2, 4), 'test_convnext': (0, 2),
    'test_vit': (0, 1), 'test_mambaout': (1, 3), 'mobilenetv3_small_050': (1, 2)}


@pytest.fixture
def timm():
    return pytest.importorskip('timm')


def size_of(name):
    return dict(img_size=64) if 'vit' in name else {}


def images(dtype=torch.float32):
    return torch.randn(2, 3, 64, 64, dtype=dtype)


@pytest.fixture
def classifier(timm, tmp_path):
    """Write a whole classifier of timm's; statistics of batches are drawn, too."""
    def make(name):
        torch.manual_seed(1)
        network = timm.create_model(name, **size_of(name))
        state = {key: torch.rand_like(value) + .5 if 'running' in key else value
                 for key, value in network.state_dict().items()}
        torch.save(state, tmp_path / f'{name}.pth')
        return str(tmp_path / f'{name}.pth')
    return make


def pretrained(file, **other):
    return dict(type='Pretrained', checkpoint=file, **other)


def build(name, file=None, **other):
    """A backbone with weights that it would not draw."""
    torch.manual_seed(2)
    backbone = TIMMBackbone(
        name, other.pop('out_indices', NETWORKS.get(name)),
        init_cfg=pretrained(file) if file else None, **size_of(name), **other)
    backbone.init_weights()
    return backbone.eval()


@pytest.mark.parametrize('name', NETWORKS)
def test_it_is_timm_s_network_with_the_checkpoint_s_weights(timm, classifier, name):
    file = classifier(name)
    stock = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay=dict(file=file),
        features_only=True, out_indices=NETWORKS[name], **size_of(name)).eval()
    backbone, image = build(name, file), images()
    state = stock.state_dict()
    assert all(torch.equal(value, state[key])
               for key, value in backbone.timm.state_dict().items())
    with torch.no_grad():
        ours, theirs = backbone(image), stock(image)
    channels = stock.feature_info.channels()
    strides = stock.feature_info.reduction()
    assert isinstance(ours, tuple) and len(ours) == 2
    for one, other, channel, stride in zip(ours, theirs, channels, strides,
                                           strict=True):
        assert one.shape == (2, channel, 64 // stride, 64 // stride)
        assert torch.equal(one, other if name != 'test_mambaout' else
                           other.permute(0, 3, 1, 2))
    # a checkpoint of the backbone itself
    torch.manual_seed(3)
    again = TIMMBackbone(name, NETWORKS[name], **size_of(name))
    again.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        assert all(map(torch.equal, again.eval()(image), ours))


@pytest.mark.parametrize('name', NETWORKS)
def test_every_parameter_learns(timm, name):
    backbone = build(name).train()
    sum(each.square().sum() for each in backbone(images())).backward()
    assert [key for key, value in backbone.named_parameters()
            if value.grad is None] == []


def test_weights_that_timm_loads_are_kept(timm, classifier):
    file = classifier('test_resnet')
    state = torch.load(file)
    backbone = build('test_resnet', pretrained=True,
                     pretrained_cfg_overlay=dict(file=file))
    assert all(torch.equal(value, state[key])
               for key, value in backbone.timm.state_dict().items())


def pose_estimator(name='test_convnext', **backbone):
    init_default_scope('mmpose')
    codec = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(8, 8), sigma=1)
    return dict(
        type='TopdownPoseEstimator', backbone=dict(
            type='TIMMBackbone', model_name=name, out_indices=[1], **backbone),
        head=dict(type='HeatmapHead', in_channels=32, out_channels=3,
                  deconv_out_channels=None, decoder=codec))


def test_the_checkpoint_of_a_pose_estimator(timm, classifier, tmp_path):
    file = str(tmp_path / 'network.pth')
    model = MODELS.build(pose_estimator())
    torch.save(dict(state_dict=model.state_dict()), file)
    other = MODELS.build(pose_estimator(init_cfg=pretrained(file, prefix='backbone.')))
    other.init_weights()
    assert all(torch.equal(value, model.backbone.state_dict()[key])
               for key, value in other.backbone.state_dict().items())
    # without the prefix
    with pytest.raises(UserError, match=r"init_cfg: .*prefix='backbone\.'"):
        MODELS.build(pose_estimator(init_cfg=pretrained(file))).init_weights()
    # a classifier's names in the place of ours, within the whole network
    state = {f'backbone.{key}': value
             for key, value in torch.load(classifier('test_convnext')).items()}
    torch.save(state, file)
    load_checkpoint(other, file, map_location='cpu')
    assert all(torch.equal(state['backbone.' + key.replace('_', '.', 1)
                                 if key.startswith('st') else f'backbone.{key}'], value)
               for key, value in other.backbone.timm.state_dict().items())


def test_two_networks_begin_from_two_checkpoints(timm, classifier):
    files = {name: classifier(name) for name in ('test_convnext', 'test_resnet')}
    model = dict(
        type='PoseDual', network=pose_estimator(),
        hard_views=[dict(type='HardAffine')],
        init_cfgs=dict(second=pretrained(files['test_convnext'])))
    dual = MODELS.build(model)
    dual.init_weights()
    backbone = dual.networks['second'].backbone
    expected = build('test_convnext', files['test_convnext'], out_indices=(1, ))
    assert all(torch.equal(value, backbone.state_dict()[key])
               for key, value in expected.state_dict().items())
    model['init_cfgs'] = dict(second=pretrained(files['test_resnet']))
    with pytest.raises(UserError, match=r'init_cfgs\.second: .*test_resnet\.pth'):
        MODELS.build(model).init_weights()


def test_the_checkpoint_of_another_model_is_refused(timm, classifier):
    file = classifier('test_resnet')
    with pytest.raises(UserError, match=r'init_cfg: .*test_resnet\.pth has no weight'):
        build('test_convnext', file)
    # same names, other shapes
    torch.save({key: value[..., None] for key, value in torch.load(file).items()}, file)
    with pytest.raises(UserError, match='has no weight'):
        build('test_resnet', file)


@pytest.mark.parametrize('name', NETWORKS)
def test_channels_last_keeps_values(timm, name):
    backbone, image = build(name), images()
    with torch.no_grad():
        expected = backbone(image)
        backbone.to(memory_format=torch.channels_last)
        found = backbone(image.contiguous(memory_format=torch.channels_last))
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(UserError, match=r'pip install "mmpose_wloss\[timm\]"'):
        TIMMBackbone('resnet18')


def test_models_that_timm_does_not_make(timm):
    with pytest.raises(UserError, match="no model 'resnet81'.*resnet18"):
        TIMMBackbone('resnet81')
    with pytest.raises(UserError, match='test_resnet.*nonsense'):
        TIMMBackbone('test_resnet', (1, ), nonsense=3)


@pytest.mark.parametrize('name', ['test_resnet', 'test_efficientnet', 'test_vit'])
@pytest.mark.parametrize('indices', [(9, ), (), (3, 1), (1, 1), (-1, ), 2, ('a', )])
def test_feature_maps_that_are_not_there(timm, name, indices):
    with pytest.raises(UserError, match=f'out_indices.*{indices}'.replace(
            '(', r'\(').replace(')', r'\)')):
        TIMMBackbone(name, indices)
