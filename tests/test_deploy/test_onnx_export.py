"""ONNX files against PyTorch, in float32 and in 8-bit integers."""

import copy
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

from mmpose_wloss.deploy import onnx_export
from mmpose_wloss.deploy.onnx_comparison import compare_runtimes, runtime_table
from mmpose_wloss.deploy.onnx_evaluation import evaluate_model, with_onnx_file
from mmpose_wloss.deploy.onnx_export import export_model, export_onnx
from mmpose_wloss.deploy.onnx_images import NetworkImages
from mmpose_wloss.deploy.onnx_network import OnnxNetwork
from mmpose_wloss.deploy.onnx_quantization import quantize_onnx
from mmpose_wloss.models.wrapped_networks import load_network

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS

onnx = pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')

ROOT = Path(__file__).parents[2]
CODEC = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16),
             sigma=1.5)
SIMCC = dict(type='SimCCLabel', input_size=(64, 64), sigma=3.,
             simcc_split_ratio=2.0, normalize=False)
RESNET = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)
HEADS = {
    'heatmaps': dict(
        type='HeatmapHead', in_channels=64, out_channels=17,
        deconv_out_channels=(8, 8, 8), deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type='KeypointMSELoss'), decoder=CODEC),
    'stages': dict(
        type='CPMHead', in_channels=17, out_channels=17, num_stages=2,
        final_layer=None, loss=dict(type='KeypointMSELoss'), decoder=CODEC),
    'simcc': dict(
        type='SimCCHead', in_channels=64, out_channels=17, input_size=(64, 64),
        in_featuremap_size=(2, 2), simcc_split_ratio=2.0,
        deconv_out_channels=None, loss=dict(type='KLDiscretLoss'),
        decoder=SIMCC),
}
HOURGLASS = dict(type='PreActHourglassNet', num_stacks=2, num_blocks=1,
                 num_feats=8, stem_channels=8, mobile=True, out_channels=17)


def config_of(kind: str, coco_root: Path) -> Config:
    """The demo's config with a tiny network, on the generated data."""
    config = Config.fromfile(ROOT / 'configs/demo/resnet18_mse_annypose.py')
    # an update would merge them with what was there
    config.model.backbone = HOURGLASS if kind == 'stages' else RESNET
    config.model.head = HEADS[kind]
    for split in ('train', 'val', 'test'):
        folder = 'train' if split == 'train' else 'val'
        dataset = config[f'{split}_dataloader'].dataset
        dataset.update(
            data_root=str(coco_root), data_prefix=dict(img=f'{folder}2017/'),
            ann_file=f'annotations/person_keypoints_{folder}2017.json')
        for transform in dataset.pipeline:
            if transform.type == 'TopdownAffine':
                transform.update(input_size=(64, 64))
            elif transform.type == 'GenerateTarget':
                transform.encoder = HEADS[kind]['decoder']
    config.test_evaluator = [dict(type='PCKAccuracy', thr=0.2)]
    return config


def model_of(config: Config, seed: int = 0) -> torch.nn.Module:
    init_default_scope('mmpose')
    torch.manual_seed(seed)
    model = MODELS.build(copy.deepcopy(config.model)).eval()
    with torch.no_grad():
        # outputs that tell images apart
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def outputs(network, images):
    with torch.no_grad():
        found = network(images)
    return found if isinstance(found, tuple) else (found, )


@pytest.fixture(params=list(HEADS))
def exported(request, coco_root, tmp_path):
    """Config, model and export of each kind of head."""
    config = config_of(request.param, coco_root)
    model = model_of(config)
    return config, model, export_model(model, config, tmp_path / 'net.onnx')


def test_the_file_gives_what_pytorch_gives(exported):
    config, model, export = exported
    assert export.difference <= 1e-4
    assert export.source == 'crops of the test set' and export.images > 2
    network = OnnxNetwork(export.file, threads=1)
    reference = onnx_export.Network(model)
    for batch in (1, 5):  # one file for both
        images = torch.randn(batch, 3, 64, 64)
        for ours, theirs in zip(outputs(network, images),
                                outputs(reference, images), strict=True):
            assert ours.shape == theirs.shape
            assert (ours - theirs).abs().max() <= 1e-4 * max(
                1, theirs.abs().max())
    names = (('simcc_x', 'simcc_y') if config.model.head.type == 'SimCCHead'
             else ('heatmaps', ))
    assert network.output_names == names
    assert network.input_size == (64, 64)
    assert network.multi_stage == (config.model.head.type == 'CPMHead')
    assert network.dataset['keypoint_names'][:2] == ['nose', 'left_eye']
    assert network.output_shapes[0][0] == 17


def test_the_stock_test_runs_the_file(exported):
    config, model, export = exported
    assert config.model.test_cfg.flip_test
    ours = MODELS.build(with_onnx_file(config, export.file, threads=1).model)
    expected = evaluate_model(model, config)
    assert evaluate_model(ours, config) == pytest.approx(expected, abs=1e-3)


def test_eight_bits(exported, tmp_path):
    config, model, export = exported
    images = NetworkImages(config, model, split='train')
    assert images.source == 'crops of the training set'
    file = quantize_onnx(export.file, tmp_path / 'int8.onnx', images.spread(4))
    content = onnx.load(str(file))
    assert 'QuantizeLinear' in {node.op_type for node in content.graph.node}
    weights = [tensor for tensor in content.graph.initializer
               if tensor.data_type == onnx.TensorProto.INT8]
    assert weights
    # says of itself what the other one does, so that the config fits
    rows = compare_runtimes(
        model, config, dict(float=export.file, int8=file),
        list(images.spread(4)), seconds=0.02, rounds=1, threads=1)
    assert rows['float']['joint_distance']['mean'] < 0.05
    assert rows['int8']['joint_distance']['median'] < 4
    assert 'joints from PyTorch' in runtime_table(rows)
    for ours, theirs in zip(outputs(OnnxNetwork(file, threads=1), images[0]),
                            outputs(OnnxNetwork(export.file, threads=1),
                                    images[0]), strict=True):
        spread = theirs.max() - theirs.min()
        assert 0 < (ours - theirs).abs().mean() < 0.05 * spread


def test_weights_take_a_quarter(coco_root, tmp_path):
    config = config_of('heatmaps', coco_root)
    config.model.backbone.update(base_channels=16)
    config.model.head.in_channels = 128
    model = model_of(config)
    export = export_model(model, config, tmp_path / 'net.onnx')
    file = quantize_onnx(export.file, tmp_path / 'int8.onnx',
                         NetworkImages(config, model).spread(2))
    assert file.stat().st_size < 0.35 * export.file.stat().st_size


def test_a_failed_write_leaves_the_old_file(coco_root, tmp_path, monkeypatch):
    config = config_of('heatmaps', coco_root)
    model = model_of(config)
    out = tmp_path / 'net.onnx'
    out.write_bytes(b'old')
    monkeypatch.setattr(onnx_export, 'TOLERANCE', 0.)
    monkeypatch.setattr(onnx_export.OnnxNetwork, 'forward',
                        lambda self, images: torch.full((1, ), 2.))
    with pytest.raises(RuntimeError, match='other outputs than PyTorch'):
        export_model(model, config, out)
    assert out.read_bytes() == b'old' and list(tmp_path.iterdir()) == [out]
    monkeypatch.undo()

    export_model(model, config, tmp_path / 'float.onnx')
    with pytest.raises(ValueError, match='no image to calibrate'):
        quantize_onnx(tmp_path / 'float.onnx', out, iter(()))
    with pytest.raises(ValueError, match='takes images of 64 × 64'):
        quantize_onnx(tmp_path / 'float.onnx', out,
                      iter([torch.zeros(1, 3, 32, 64)]))
    assert out.read_bytes() == b'old'
    assert len(list(tmp_path.iterdir())) == 2


def test_images_to_check_with(coco_root, tmp_path):
    config = config_of('heatmaps', coco_root)
    model = model_of(config)
    folder = NetworkImages(config, model, str(coco_root / 'val2017'))
    assert 'val2017' in folder.source and len(folder) > 1
    crops = NetworkImages(config, model)
    assert crops[0].shape == folder[0].shape == (1, 3, 64, 64)
    # crops are what the test set gives, preprocessed
    sample = crops.dataset[0]['inputs'].float()
    mean, std = (torch.tensor(config.model.data_preprocessor[key])
                 for key in ('mean', 'std'))
    assert torch.allclose(crops[0][0], (
        sample[[2, 1, 0]] - mean[:, None, None]) / std[:, None, None])
    assert len(list(crops.spread(2))) == 2
    assert len(list(crops.spread(10**6))) == len(crops)

    config.test_dataloader.dataset.data_root = str(tmp_path / 'nowhere')
    noise = NetworkImages(config, model)
    assert noise.source == 'noise' and torch.equal(noise[3], noise[3])
    assert not torch.equal(noise[3], noise[4])
    config.train_dataloader.dataset.data_root = str(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='train_dataloader'):
        NetworkImages(config, model, split='train')
    config.pop('train_dataloader')
    with pytest.raises(FileNotFoundError, match='name a folder of images'):
        NetworkImages(config, model, split='train')
    with pytest.raises(FileNotFoundError, match='no image in'):
        NetworkImages(config, model, str(tmp_path))


def test_other_heads_are_refused(coco_root, tmp_path):
    config = config_of('heatmaps', coco_root)
    config.model.neck = dict(type='GlobalAveragePooling')
    config.model.head = dict(
        type='RegressionHead', in_channels=64, num_joints=17,
        decoder=dict(type='RegressionLabel', input_size=(64, 64)))
    with pytest.raises(TypeError, match='RegressionHead gives .* only heatmaps'):
        export_model(model_of(config), config, tmp_path / 'net.onnx')
    config = config_of('heatmaps', coco_root)
    del config.model.head['decoder']
    with pytest.raises(ValueError, match='HeatmapHead has no `decoder`'):
        export_model(model_of(config), config, tmp_path / 'net.onnx')
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(coco_root, tmp_path, monkeypatch):
    config = config_of('heatmaps', coco_root)
    model = model_of(config)
    for name in ('onnx', 'onnxruntime'):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ImportError, match=f'^{name}, which.*pip install'):
                export_model(model, config, tmp_path / 'net.onnx')


def test_the_tools(coco_root, tmp_path, monkeypatch, capsys):
    config = config_of('heatmaps', coco_root)
    model = model_of(config)
    checkpoint = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta={}, state_dict=model.state_dict()), checkpoint)
    file = tmp_path / 'config.py'
    config.dump(str(file))
    out = tmp_path / 'out' / 'net.onnx'

    def run(*arguments) -> int:
        tool = str(ROOT / 'tools' / 'export_onnx.py')
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(tool, run_name='__main__')
        return ended.value.code

    assert run(file, checkpoint, '--out', out, '--int8', '--calibration', 3,
               '--evaluate', '--seconds', 0.02, '--threads', 1) == 0
    assert '| PCK ' in capsys.readouterr().out
    report = json.loads((tmp_path / 'out' / 'net.json').read_text())
    assert report['format'] == 1 and report['difference'] <= 1e-4
    rows = report['rows']
    assert list(rows) == ['PyTorch', 'ONNX float32', 'ONNX int8']
    assert rows['PyTorch']['metrics']['PCK'] == pytest.approx(
        rows['ONNX float32']['metrics']['PCK'], abs=1e-3)
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'net.onnx', 'net_int8.onnx', 'net.json'}

    assert run(file, tmp_path / 'no.pth', '--out', out) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(
        'error: there is no checkpoint')
    assert run(file, checkpoint, '--out', out, '--threads', -1) == 1
    assert '--threads not below 0' in capsys.readouterr().err

    # and the stock tool takes the file where it takes a checkpoint
    tested = subprocess.run(
        [sys.executable, ROOT / 'tools' / 'test.py', file, out, '--work-dir',
         tmp_path / 'test'], text=True, capture_output=True,
        env=dict(os.environ, OMP_NUM_THREADS='1'))
    assert tested.returncode == 0, tested.stderr
    found = json.loads(next((tmp_path / 'test').rglob('*.json')).read_text())
    assert found['PCK'] == pytest.approx(
        rows['ONNX float32']['metrics']['PCK'], abs=1e-3)


@pytest.mark.parametrize('arguments, message', [
    (dict(config='no.py'), 'no.py'),
    (dict(out='net.bin'), 'must end in .onnx'),
])
def test_wrong_arguments(coco_root, tmp_path, arguments, message):
    config = config_of('heatmaps', coco_root)
    checkpoint = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta={}, state_dict=model_of(config).state_dict()),
               checkpoint)
    given = dict(dict(config=config, checkpoint=str(checkpoint),
                      out=str(tmp_path / 'net.onnx')), **arguments)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        export_onnx(**given)


def test_the_checkpoint_is_what_is_exported(coco_root, tmp_path):
    config = config_of('heatmaps', coco_root)
    checkpoint = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta={}, state_dict=model_of(config, 7).state_dict()),
               checkpoint)
    export = export_onnx(config, str(checkpoint), str(tmp_path / 'net.onnx'),
                         images=str(coco_root / 'val2017'), checked_images=3)
    assert export.images == 3 and 'val2017' in export.source
    model, _ = load_network(config, str(checkpoint))
    images = torch.randn(2, 3, 64, 64)
    ours = outputs(OnnxNetwork(export.file, threads=1), images)[0]
    theirs = outputs(onnx_export.Network(model), images)[0]
    assert np.allclose(ours, theirs, atol=1e-5)
