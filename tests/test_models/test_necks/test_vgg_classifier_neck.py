from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.necks import VGGClassifierNeck

import pytest
import torch
from mmpose.models.backbones import VGG
from mmpose.registry import MODELS


def test_the_shapes_of_vggs_classifier():
    with torch.device('meta'):
        neck = MODELS.build(dict(type='VGGClassifierNeck'))
    sizes = [tuple(each.shape) for each in neck.parameters()]
    assert sizes == [(4096, 25088), (4096, ), (4096, 4096), (4096, )]


def test_it_is_the_classifier_of_vgg(monkeypatch, tmp_path):
    """Its weights load, and it computes what stands before the last layer."""
    linear = torch.nn.Linear
    # VGG's own has 119 M parameters
    monkeypatch.setattr(torch.nn, 'Linear', lambda *fans: linear(
        *(16 if fan == 4096 else fan for fan in fans)))
    vgg = VGG(11, num_classes=5)
    vgg.eval()
    torch.save(vgg.state_dict(), tmp_path / 'vgg.pth')
    neck = VGGClassifierNeck(channels=16, init_cfg=dict(
        type='Pretrained', checkpoint=str(tmp_path / 'vgg.pth')))
    neck.init_weights()
    features = torch.randn(2, 512, 7, 7)
    output, = neck.eval()((torch.randn(2, 3), features))
    assert torch.equal(output, vgg.classifier[:-1](features.flatten(1)))


def test_dropout_is_for_training():
    neck = VGGClassifierNeck(in_channels=8, channels=64)
    features = (torch.randn(4, 2, 2, 2), )
    assert not torch.equal(neck(features)[0], neck(features)[0])
    neck.eval()
    assert torch.equal(neck(features)[0], neck(features)[0])


def test_an_image_of_another_size():
    neck = VGGClassifierNeck(in_channels=8, channels=4)
    with pytest.raises(UserError, match=r'in_channels is 8.*18.*\(2, 3, 3\)'):
        neck((torch.zeros(1, 2, 3, 3), ))


def test_it_can_be_drawn_as_pytorch_draws_it():
    """As the original code draws it: U(-1, 1) / √fan_in, biases too."""
    torch.manual_seed(0)
    for init_cfg, deviation in (([], 3**-0.5 / 10), (None, 0.01)):
        neck = VGGClassifierNeck(in_channels=100, channels=100, init_cfg=init_cfg)
        neck.init_weights()
        for layer in (neck.classifier[0], neck.classifier[3]):
            assert float(layer.weight.detach().std()) == pytest.approx(
                deviation, rel=0.05)
            assert layer.bias.any() == (init_cfg is not None)
