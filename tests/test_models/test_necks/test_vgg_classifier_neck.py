from mmpose_wloss.models.necks import VGGClassifierNeck

import pytest
import torch
from mmpose.models.backbones import VGG
from mmpose.registry import MODELS


@pytest.fixture
def small_classifier(monkeypatch):
    """VGG with a classifier that is 16 wide; its own has 119 M parameters."""
    linear = torch.nn.Linear
    narrow = {4096: 16}
    monkeypatch.setattr(torch.nn, 'Linear', lambda fan_in, fan_out: linear(
        narrow.get(fan_in, fan_in), narrow.get(fan_out, fan_out)))
    return VGG(11, num_classes=5)


def test_the_shapes_and_the_size_of_vggs_classifier():
    with torch.device('meta'):
        neck = MODELS.build(dict(type='VGGClassifierNeck'))
    sizes = [tuple(each.shape) for each in neck.parameters()]
    assert sizes == [(4096, 25088), (4096, ), (4096, 4096), (4096, )]
    kinds = [type(layer).__name__ for layer in neck.classifier]
    assert kinds == 2 * ['Linear', 'ReLU', 'Dropout']
    assert {layer.p for layer in neck.classifier
            if isinstance(layer, torch.nn.Dropout)} == {0.5}


def test_it_is_the_classifier_of_vgg(small_classifier, tmp_path):
    """Its weights load, and it computes what stands before the last layer."""
    torch.save(small_classifier.state_dict(), tmp_path / 'vgg.pth')
    neck = VGGClassifierNeck(channels=16, init_cfg=dict(
        type='Pretrained', checkpoint=str(tmp_path / 'vgg.pth')))
    neck.init_weights()
    features = torch.randn(2, 512, 7, 7)
    small_classifier.eval()
    expected = small_classifier.classifier[:-1](features.flatten(1))
    output, = neck.eval()((torch.randn(2, 3), features))
    assert output.shape == (2, 16)
    assert torch.equal(output, expected)


def test_dropout_is_for_training():
    neck = VGGClassifierNeck(in_channels=8, channels=64)
    neck.init_weights()
    features = (torch.randn(4, 2, 2, 2), )
    assert not torch.equal(neck(features)[0], neck(features)[0])
    neck.eval()
    assert torch.equal(neck(features)[0], neck(features)[0])


def test_an_image_of_another_size():
    neck = VGGClassifierNeck(in_channels=8, channels=4)
    with pytest.raises(ValueError, match=r'takes 8 .* gives 18, in shape '
                       r'\(2, 3, 3\).*input_size'):
        neck((torch.zeros(1, 2, 3, 3), ))
