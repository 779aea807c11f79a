"""ONNX files against PyTorch, in float32 and in 8-bit integers."""

import sys
from pathlib import Path

from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.deploy import export, export_onnx, quantize_onnx
from mmpose_wloss.deploy.export import OutputNetwork, UnsupportedOutputs, as_tuple
from mmpose_wloss.deploy.images import network_images
from mmpose_wloss.deploy.network import OnnxNetwork
from mmpose_wloss.deploy.quantization import joint_distance

import onnx
import pytest
import torch
from mmengine.config import Config
from small_networks import KEYPOINTS, heatmap_network

CONFIGS = Path(__file__).parents[2] / 'configs'
KINDS = ['MSRA', 'hourglass', 'SimCC']


def outputs(network, images):
    with torch.no_grad():
        return as_tuple(network(images))


def images_for(network, count=1):
    width, height = network.input_size
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, height, width, generator=generator)


@pytest.mark.parametrize('name', KINDS)
def test_the_file_gives_what_pytorch_gives(exported, name):
    config, model, done = exported(name)
    assert done.difference <= 1e-4
    assert done.images > 2 and done.source == 'noise'
    network = OnnxNetwork(done.file, threads=1)
    for batch in (1, 5):  # one file for both
        images = images_for(network, batch)
        for ours, theirs in zip(
                outputs(network, images),
                outputs(OutputNetwork(model).eval(), images), strict=True):
            assert ours.shape == theirs.shape
            assert (ours - theirs).abs().max() <= 1e-4 * max(
                1, theirs.abs().max())
    assert network.output_names == (
        ('simcc_x', 'simcc_y') if name == 'SimCC' else ('heatmaps', ))
    assert network.input_size == config['head']['decoder']['input_size']
    assert network.multi_stage == (name == 'hourglass')
    assert network.output_shapes[0][0] == KEYPOINTS


@pytest.mark.parametrize('name', KINDS)
def test_eight_bits(exported, name, tmp_path):
    _, model, done = exported(name)
    exact = OnnxNetwork(done.file, threads=1)
    images = images_for(exact, 4).split(1)
    file = quantize_onnx(done.file, tmp_path / 'int8.onnx', images)
    content = onnx.load(str(file))
    assert 'QuantizeLinear' in {node.op_type for node in content.graph.node}
    # the weights of convolutions and of linear layers take a quarter
    assert {tensor.data_type for tensor in content.graph.initializer
            if len(tensor.dims) > 1} == {onnx.TensorProto.INT8}
    network = OnnxNetwork(file, threads=1)
    assert network.metadata == exact.metadata
    assert joint_distance(model, done.file, images) < 0.05
    assert joint_distance(model, file, images) < 4
    for ours, theirs in zip(outputs(network, images[0]),
                            outputs(exact, images[0]), strict=True):
        spread = theirs.max() - theirs.min()
        assert 0 < (ours - theirs).abs().mean() < 0.05 * spread


def test_a_failed_write_leaves_the_old_file(exported, tmp_path, monkeypatch):
    network, model, done = exported('MSRA')
    out = tmp_path / 'net.onnx'
    out.write_bytes(b'old')
    with monkeypatch.context() as patch:
        patch.setattr(export, 'TOLERANCE', 0.)
        patch.setattr(OnnxNetwork, 'forward',
                      lambda self, images: torch.full((1, ), 2.))
        with pytest.raises(UserError, match='differ by'):
            export_onnx(model, Config(dict(model=network)), out)
    with pytest.raises(UserError, match='no image'):
        quantize_onnx(done.file, out, [])
    with pytest.raises(UserError, match='48 × 64'):
        quantize_onnx(done.file, out, [torch.zeros(1, 3, 32, 64)])
    assert out.read_bytes() == b'old' and list(tmp_path.iterdir()) == [out]
    for name in ('onnx', 'onnxruntime'):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(UserError, match=f'^{name}, .*pip install'):
                export_onnx(model, Config(dict(model=network)), out)


def test_images_to_check_with(build_model, coco_root, tmp_path):
    config = Config.fromfile(CONFIGS / 'demo' / 'resnet18_mse_annypose.py')
    for split, folder in (('train', 'train2017'), ('test', 'val2017')):
        config[f'{split}_dataloader'].dataset.update(
            data_root=str(coco_root), data_prefix=dict(img=f'{folder}/'),
            ann_file=f'annotations/person_keypoints_{folder}.json')
    model = build_model(config.model)

    def images(count=3, folder=None, split='test'):
        return network_images(config, model, count, folder, split)

    of_folder, source = images(folder=str(coco_root / 'val2017'))
    assert 'val2017' in source and len(of_folder) == 3
    assert len(images(10**6, str(coco_root))[0]) == len(list(coco_root.rglob('*.jpg')))
    crops, source = images(10**6)
    assert source == 'crops of the test set' and len(crops) == 4
    width, height = config.codec['input_size']
    assert crops[0].shape == of_folder[0].shape == (1, 3, height, width)
    assert not torch.equal(crops[0], crops[3])
    # without augmentation
    first, source = images(split='train')
    assert source == 'crops of the train set' and len(first) == 3
    assert all(map(torch.equal, first, images(split='train')[0]))

    # annotations are there, but no detections, images or annotations
    dataset = config.test_dataloader.dataset
    for changes in (dict(bbox_file=str(tmp_path / 'no.json')),
                    dict(data_prefix=dict(img='no/')),
                    dict(data_prefix=dict(img='annotations/')), dict(ann_file='')):
        config.test_dataloader.dataset = dataset | changes
        assert images()[1] == 'noise'
    for split in ('train', 'test'):
        config[f'{split}_dataloader'].dataset.data_root = str(tmp_path)
    noise, source = images()
    assert source == 'noise' and all(map(torch.equal, noise, images()[0]))
    with pytest.raises(MissingFile, match='train_dataloader'):
        images(split='train')
    with pytest.raises(UserError, match=str(tmp_path)):
        images(folder=str(tmp_path))


def test_other_heads_are_refused(build_model, tmp_path):
    network = heatmap_network()
    out = tmp_path / 'net.onnx'
    network['neck'] = dict(type='GlobalAveragePooling')
    network['head'] = dict(
        type='RegressionHead', in_channels=64, num_joints=KEYPOINTS,
        decoder=dict(type='RegressionLabel', input_size=(48, 64)))
    with pytest.raises(UnsupportedOutputs, match='RegressionHead'):
        export_onnx(build_model(network), Config(dict(model=network)), out)
    network = heatmap_network()
    del network['head']['decoder']
    with pytest.raises(UserError, match='HeatmapHead has no `decoder`'):
        export_onnx(build_model(network), Config(dict(model=network)), out)
    assert not list(tmp_path.iterdir())
