"""A stock estimator around an ONNX file."""

import copy
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

from mmpose_wloss.deploy.onnx_export import export_model  # noqa: E402
from mmpose_wloss.deploy.onnx_network import (  # noqa: E402
    OnnxNetwork,
)

from small_networks import KEYPOINTS, NETWORKS, batch_for  # noqa: E402


def stock(network, seed=0):
    init_default_scope('mmpose')
    torch.manual_seed(seed)
    model = MODELS.build(copy.deepcopy(network)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def estimator(network, file, **arguments):
    return MODELS.build(dict(
        type='OnnxPoseEstimator', network=network, onnx_file=str(file),
        threads=1, **arguments)).eval()


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """Exports each network once: config, model and file."""
    done = {}

    def export(name):
        if name not in done:
            network = NETWORKS[name]()
            model = stock(network)
            file = tmp_path_factory.mktemp(name) / 'net.onnx'
            export_model(model, Config(dict(model=network)), file,
                         checked_images=2)
            done[name] = network, model, file
        return done[name]

    return export


@pytest.mark.parametrize('people', [1, 5])
@pytest.mark.parametrize('flip', [True, False])
@pytest.mark.parametrize('name', ['MSRA', 'HRNet', 'hourglass', 'SimCC',
                                  'RTMPose'])
def test_it_predicts_as_pytorch_does(exported, name, flip, people):
    network, model, file = exported(name)
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


def test_it_holds_no_weights(exported):
    network, model, file = exported('hourglass')
    ours = estimator(network, file)
    assert sum(x.numel() for x in ours.parameters()) == 1
    assert not list(ours.head.modules())[1:]
    assert sum(x.numel() for x in model.parameters()) > 1e5


def test_it_does_not_train_and_loads_nothing(exported):
    network, model, file = exported('MSRA')
    ours = estimator(network, file)
    data = ours.data_preprocessor(batch_for(network, 2, 0), True)
    with pytest.raises(NotImplementedError, match='cannot be trained'):
        ours(**data, mode='loss')
    with pytest.raises(NotImplementedError, match='export_onnx.py'):
        ours.load_state_dict(model.state_dict())


def changed(network, **changes):
    """A copy with other values at keys such as ``head.out_channels``."""
    network = copy.deepcopy(network)
    for key, value in changes.items():
        inner = network
        *path, last = key.split('__')
        for name in path:
            inner[name] = dict(inner[name])
            inner = inner[name]
        inner[last] = value
    return network


@pytest.mark.parametrize('changes, message', [
    (dict(head__out_channels=KEYPOINTS + 1),
     r'network.head.out_channels is 5 in the file and 6 in the config'),
    (dict(backbone__base_channels=16), 'network.backbone.base_channels is 8'),
    (dict(backbone__norm_eval=True), 'norm_eval is not there in the file'),
    (dict(data_preprocessor__mean=[0.] * 3), 'network.data_preprocessor.mean'),
    (dict(head__decoder__input_size=(64, 64)), r'input_size is \(48, 64\)'),
    (dict(head__decoder__heatmap_size=(24, 32)),
     r'heatmap_size is \(12, 16\) in the file'),
    (dict(head__decoder=None), 'has no `decoder`'),
    (dict(type='BottomupPoseEstimator'), 'config of a TopdownPoseEstimator'),
])
def test_another_network_is_refused(exported, changes, message):
    network, _, file = exported('MSRA')
    with pytest.raises(ValueError, match=message):
        estimator(changed(network, **changes), file)


def test_what_does_not_change_the_network_may_differ(exported):
    network, _, file = exported('MSRA')
    estimator(changed(
        network, backbone__init_cfg=dict(type='Pretrained', checkpoint='x'),
        backbone__type='mmpose.ResNet', test_cfg=dict(flip_test=False),
        head__loss=dict(type='FocusMSELoss')), file)


def test_another_simcc_ratio_is_refused(exported):
    network, _, file = exported('SimCC')
    with pytest.raises(ValueError, match='simcc_split_ratio'):
        estimator(changed(network, head__decoder__simcc_split_ratio=3.), file)


def test_files_and_providers_that_do_not_fit(exported, tmp_path, monkeypatch):
    import onnx

    network, _, file = exported('MSRA')
    with pytest.raises(FileNotFoundError, match='no ONNX file'):
        OnnxNetwork(tmp_path / 'no.onnx')
    broken = tmp_path / 'broken.onnx'
    broken.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match='cannot be read as an ONNX file'):
        OnnxNetwork(broken)
    for properties, message in (
            ({}, 'was not written by tools/export_onnx.py'),
            (dict(mmpose_wloss_format='99'), 'has format 99')):
        content = onnx.load(str(file))
        del content.metadata_props[:]
        onnx.helper.set_model_props(content, properties)
        onnx.save(content, str(broken))
        with pytest.raises(ValueError, match=message):
            OnnxNetwork(broken)
    with pytest.raises(ValueError, match='has no NoProvider here'):
        OnnxNetwork(file, providers=['NoProvider'])
    with pytest.raises(ValueError, match='threads'):
        OnnxNetwork(file, threads=-1)
    with pytest.raises(ValueError, match='48 × 64 pixels, but they are 64 × 48'):
        OnnxNetwork(file, threads=1)(torch.zeros(1, 3, 48, 64))
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ImportError, match='pip install "onnxruntime'):
        OnnxNetwork(file)


def test_under_autocast(exported):
    network, _, file = exported('MSRA')
    ours = OnnxNetwork(file, threads=1)
    images = torch.randn(2, 3, 64, 48)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = ours(images.bfloat16())
    assert found.dtype == torch.float32
    assert torch.allclose(found, ours(images.bfloat16().float()))
