"""A stock estimator around an ONNX file."""

import copy
import sys

from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.deploy.network import OnnxNetwork

import numpy as np
import onnx
import pytest
import torch
from mmengine.config import Config
from mmpose.registry import MODELS
from small_networks import KEYPOINTS, batch_for


def estimator(network, file, **arguments):
    return MODELS.build(dict(
        type='OnnxPoseEstimator', network=network, onnx_file=str(file),
        threads=1, **arguments)).eval()


@pytest.mark.parametrize('flip, people', [(True, 5), (False, 1)])
@pytest.mark.parametrize('name', ['MSRA', 'HRNet', 'hourglass', 'SimCC',
                                  'RTMPose'])
def test_it_predicts_as_pytorch_does(exported, name, flip, people):
    network, model, (file, *_) = exported(name)
    test_cfg = dict(network['test_cfg'], flip_test=flip, output_heatmaps=True)
    ours = estimator(network, file, test_cfg=test_cfg)
    model.test_cfg = test_cfg
    data = batch_for(network, 0, people)
    with torch.no_grad():
        expected = model.test_step(copy.deepcopy(data))
        # copies share the session
        found = copy.deepcopy(ours).test_step(copy.deepcopy(data))
    for one, other in zip(found, expected, strict=True):
        assert np.abs(one.pred_instances.keypoints
                      - other.pred_instances.keypoints).max() < 0.05
        heatmaps = other.pred_fields.heatmaps
        tolerance = 1e-4 * max(1., float(heatmaps.abs().max()))
        assert np.allclose(one.pred_instances.keypoint_scores,
                           other.pred_instances.keypoint_scores,
                           atol=tolerance)
        assert torch.allclose(one.pred_fields.heatmaps, heatmaps,
                              atol=tolerance)


def test_it_neither_holds_weights_nor_loads_nor_trains(exported):
    network, model, (file, *_) = exported('hourglass')
    ours = estimator(network, file)
    assert sum(x.numel() for x in ours.parameters()) == 1
    assert not list(ours.head.modules())[1:]
    data = ours.data_preprocessor(batch_for(network, 2, 0), True)
    with pytest.raises(UserError, match='gradients'):
        ours(**data, mode='loss')
    with pytest.raises(UserError, match='no checkpoint'):
        ours.load_state_dict(model.state_dict())


def changed(network, **changes):
    """A copy with other values at keys such as ``head__out_channels``."""
    network = Config(copy.deepcopy(network))
    network.merge_from_dict({
        key.replace('__', '.'): value for key, value in changes.items()})
    return network.to_dict()


@pytest.mark.parametrize('name, changes, message', [
    ('MSRA', dict(head__out_channels=KEYPOINTS + 1),
     'network.head.out_channels is 5 .* 6 in the config'),
    ('MSRA', dict(backbone__base_channels=16),
     'network.backbone.base_channels is 8'),
    ('MSRA', dict(backbone__norm_eval=True), 'backbone.norm_eval is None'),
    ('MSRA', dict(data_preprocessor__mean=[0.] * 3),
     'network.data_preprocessor.mean'),
    ('MSRA', dict(head__decoder__input_size=(64, 64)),
     r'input_size is \(48, 64\)'),
    ('MSRA', dict(head__decoder__heatmap_size=(24, 32)),
     r'heatmap_size is \(12, 16\)'),
    ('MSRA', dict(head__decoder=None), '`decoder`'),
    ('MSRA', dict(type='BottomupPoseEstimator'), 'BottomupPoseEstimator'),
    ('SimCC', dict(head__decoder__simcc_split_ratio=3.), 'simcc_split_ratio'),
])
def test_another_network_is_refused(exported, name, changes, message):
    network, _, (file, *_) = exported(name)
    with pytest.raises(UserError, match=message):
        estimator(changed(network, **changes), file)


def test_what_does_not_change_the_network_may_differ(exported):
    network, _, (file, *_) = exported('MSRA')
    estimator(changed(
        network, backbone__init_cfg=dict(type='Pretrained', checkpoint='x'),
        backbone__type='mmpose.ResNet', test_cfg=dict(flip_test=False),
        head__loss=dict(type='FocusMSELoss')), file)


def test_files_and_providers_that_do_not_fit(exported, tmp_path, monkeypatch):
    _, _, (file, *_) = exported('MSRA')
    with pytest.raises(MissingFile, match='no.onnx'):
        OnnxNetwork(tmp_path / 'no.onnx')
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match='broken.onnx'):
        OnnxNetwork(broken)
    for properties, version in (({}, None),
                                (dict(mmpose_wloss_format='99'), 99)):
        content = onnx.load(str(file))
        del content.metadata_props[:]
        onnx.helper.set_model_props(content, properties)
        onnx.save(content, str(broken))
        with pytest.raises(UserError, match=f'format {version}'):
            OnnxNetwork(broken)
    with pytest.raises(UserError, match='NoProvider'):
        OnnxNetwork(file, providers=['NoProvider'])
    with pytest.raises(UserError, match='threads'):
        OnnxNetwork(file, threads=-1)
    with pytest.raises(UserError, match='48 × 64 pixels, but they are 64 × 48'):
        OnnxNetwork(file, threads=1)(torch.zeros(1, 3, 48, 64))
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(UserError, match='pip install .*onnxruntime'):
        OnnxNetwork(file)


def test_under_autocast(exported):
    _, _, (file, *_) = exported('MSRA')
    ours, images = OnnxNetwork(file, threads=1), torch.randn(2, 3, 64, 48)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = ours(images.bfloat16())
    assert found.dtype == torch.float32
    assert torch.allclose(found, ours(images.bfloat16().float()))
