"""Networks out of checkpoints, as MMPose and as ONNX have them."""

import json
from pathlib import Path

from mmpose_wloss.commands import export
from mmpose_wloss.commands import test as test_command
from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.models.wrapped_networks import load_network, network_state

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.apis import MMPoseInferencer, inference_topdown, init_model
from mmpose.apis.inference import dataset_meta_from_config
from mmpose.registry import MODELS

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'


@pytest.fixture
def training(coco_root, tmp_path):
    """Config and checkpoint of a PoseDual that learned nothing."""
    init_default_scope('mmpose')
    config = Config.fromfile(DEMO / 'posedual_resnet18_annypose.py')
    for split, folder in (('train', 'train2017'), ('val', 'val2017'),
                          ('test', 'val2017')):
        dataset = config[f'{split}_dataloader'].dataset
        for each in dataset.get('datasets') or [dataset]:
            each.update(
                data_root=str(coco_root), data_prefix=dict(img=f'{folder}/'),
                ann_file=f'annotations/person_keypoints_{folder}.json')
            each.pop('bbox_file', None)
    config.val_evaluator = config.test_evaluator = dict(
        type='NetworksEvaluator', metrics=[dict(type='PCKAccuracy', thr=.2)])
    config.default_hooks.pop('visualization')
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    checkpoint = tmp_path / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(
        cfg=config.pretty_text, epoch=1,
        dataset_meta=dataset_meta_from_config(config, 'test'))), checkpoint)
    config.dump(str(tmp_path / 'config.py'))
    return tmp_path / 'config.py', checkpoint


def run(*arguments) -> int:
    return export.main([str(argument) for argument in arguments])


def test_a_network_as_mmpose_has_it(training, tmp_path, coco_root):
    _, checkpoint = training
    out = tmp_path / 'out' / 'second.pth'
    assert run(checkpoint, '--network', 'second', '--out', out,
               '--cfg-options', 'test_dataloader.batch_size=3') == 0
    assert {file.name for file in out.parent.iterdir()} == {
        'second.pth', 'second.py'}
    stock = init_model(str(out.with_suffix('.py')), str(out), 'cpu')
    expected = network_state(torch.load(checkpoint)['state_dict'], 'second')
    state = torch.load(out)['state_dict']
    assert state.keys() == expected.keys() == stock.state_dict().keys()
    assert all(torch.equal(state[key], expected[key]) for key in state)
    config = Config.fromfile(out.with_suffix('.py'))
    assert config.test_dataloader.batch_size == 3
    assert 'custom_imports' not in config  # MMPose alone can run it
    assert config.val_evaluator[0].type == 'PCKAccuracy'
    # MMPose's own inferencer takes it, and finds the same joints
    image = str(next((coco_root / 'val2017').iterdir()))
    inferencer = MMPoseInferencer(
        pose2d=str(out.with_suffix('.py')), pose2d_weights=str(out),
        det_model='whole_image', device='cpu')
    found = next(inferencer(image))['predictions'][0][0]['keypoints']
    assert np.allclose(
        found, inference_topdown(stock, image)[0].pred_instances.keypoints[0])


def test_a_config_of_the_user_stays(training, tmp_path):
    config, checkpoint = training
    text = config.read_bytes()
    with pytest.raises(UserError, match='config.py'):
        run(config, checkpoint, '--out', config.with_suffix('.pth'))
    assert config.read_bytes() == text and not config.with_suffix('.pth').exists()
    # the same export once more writes the same
    for _ in range(2):
        assert run(checkpoint, '--out', tmp_path / 'out' / 'first.pth') == 0


def test_a_network_as_onnx(training, tmp_path, capsys):
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    config, checkpoint = training
    out = tmp_path / 'out' / 'net.onnx'
    assert run(config, checkpoint, '--out', out, '--int8',
               '--calibration', 3) == 0
    assert {file.name for file in out.parent.iterdir()} == {
        'net.onnx', 'net_int8.onnx'}
    text = capsys.readouterr().out
    assert '3 images (crops of the train set)' in text
    # the stock test takes the file in the place of a checkpoint
    network = tmp_path / 'first.pth'
    run(checkpoint, '--network', 'first', '--out', network)
    figures = []
    for given, file in ((config, out), (network.with_suffix('.py'), network)):
        test_command.main([
            str(given), str(file), '--work-dir', str(tmp_path / 'test' / file.stem),
            '--out', str(tmp_path / 'figures.json'), '--cfg-options',
            'test_dataloader.num_workers=0',
            'test_dataloader.persistent_workers=False'])
        figures.append(json.loads((tmp_path / 'figures.json').read_text()))
    assert figures[0] == pytest.approx(figures[1], abs=1e-3)


def test_what_does_not_fit_is_refused(training, tmp_path):
    config, checkpoint = training
    out = tmp_path / 'x.pth'
    for arguments, message in (
            ([checkpoint, '--network', 'ema', '--out', out], 'first, second'),
            ([checkpoint, '--out', tmp_path / 'x.bin'], 'x.bin'),
            ([checkpoint, '--out', checkpoint], 'epoch_1.pth'),
            ([checkpoint, '--out', out, '--int8'], '--int8'),
            ([checkpoint, '--out', out, '--images', tmp_path], '--images'),
            ([config, checkpoint, '--out', tmp_path / 'x.onnx', '--int8',
              '--calibration', 0], 'calibration')):
        with pytest.raises(UserError, match=message):
            run(*arguments)
    for arguments, message in (
            ([tmp_path / 'no.pth', '--out', out], 'no.pth'),
            (['no.py', checkpoint, '--out', out], 'no.py')):
        with pytest.raises(MissingFile, match=message):
            run(*arguments)
    other = Config.fromfile(config)
    other.model.network.backbone.depth = 34
    with pytest.raises(UserError, match='layer1.2.* absent in the checkpoint'):
        load_network(other, str(checkpoint))
    torch.save(dict(state_dict={}, meta={}), tmp_path / 'bare.pth')
    with pytest.raises(UserError, match='bare.pth'):
        run(tmp_path / 'bare.pth', '--out', out)
    whole = (tmp_path / 'bare.pth').read_bytes()
    for content in (b'', b'hi\n', b'<html>', whole[:100], whole[:-100]):
        (tmp_path / 'broken.pth').write_bytes(content)
        with pytest.raises(UserError, match='broken.pth'):
            run(tmp_path / 'broken.pth', '--out', out)
