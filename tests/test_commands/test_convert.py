"""A checkpoint of the original code's names predicts the same after conversion."""

import argparse
import math
from pathlib import Path

from mmpose_wloss.apis.original_hourglass import (
    convert_checkpoint,
    convert_hourglass_state,
)
from mmpose_wloss.commands.convert import main
from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.models.backbones import PreActHourglassNet

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmpose.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
RANDOM = dict(weight=(-1, 1), bias=(-.5, .5), running_mean=(-.5, .5),
              running_var=(.5, 2))


def original_state(stacks=2, blocks=1, feats=128, mobile=True, joints=16,
                 stem=64, depth=4, seed=0):
    """A state with the names and shapes of the original code."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def draw(name, *shape):
        low, high = RANDOM[name.rpartition('.')[2]]
        scale = math.prod(shape[1:])**-.5
        state[name] = scale * (low + (high - low) * torch.rand(
            shape, generator=generator))

    def conv(name, out, within, size=1):
        draw(f'{name}.weight', out, within, size, size)
        draw(f'{name}.bias', out)

    def norm(name, channels):
        for kind in RANDOM:
            draw(f'{name}.{kind}', channels)
        state[f'{name}.num_batches_tracked'] = torch.tensor(7)

    def bottleneck(name, channels, planes):
        norm(f'{name}.bn1', channels)
        conv(f'{name}.conv1', planes, channels)
        norm(f'{name}.bn2', planes)
        conv(f'{name}.conv2', planes, 1 if mobile else planes, 3)
        norm(f'{name}.bn3', planes)
        conv(f'{name}.conv3', 2 * planes, planes)
        if channels != 2 * planes:
            conv(f'{name}.downsample.0', 2 * planes, channels)

    width = 2 * feats
    conv('conv1', stem, 3, 7)
    norm('bn1', stem)
    bottleneck('layer1.0', stem, stem)
    bottleneck('layer2.0', 2 * stem, 2 * stem)
    bottleneck('layer3.0', 4 * stem, feats)
    for stack in range(stacks):
        for level in range(depth):
            for place in range(4 if level == 0 else 3):
                for block in range(blocks):
                    bottleneck(f'hg.{stack}.hg.{level}.{place}.{block}', width, feats)
        for block in range(blocks):
            bottleneck(f'res.{stack}.{block}', width, feats)
        conv(f'fc.{stack}.0', width, width)
        norm(f'fc.{stack}.1', width)
        conv(f'score.{stack}', joints, width)
        if stack < stacks - 1:
            conv(f'fc_.{stack}', width, width)
            conv(f'score_.{stack}', width, joints)
    return state


def original_heatmaps(state, x):
    """What the original code computes of a state, from its description alone."""
    def conv(name, x, **kwargs):
        weight = state[f'{name}.weight']
        return F.conv2d(x, weight, state[f'{name}.bias'],
                        groups=x.shape[1] // weight.shape[1], **kwargs)

    def norm_relu(name, x):
        return F.relu(F.batch_norm(x, *(
            state[f'{name}.{kind}'] for kind in (
                'running_mean', 'running_var', 'weight', 'bias'))))

    def bottleneck(name, x):
        y = conv(f'{name}.conv1', norm_relu(f'{name}.bn1', x))
        y = conv(f'{name}.conv2', norm_relu(f'{name}.bn2', y), padding=1)
        y = conv(f'{name}.conv3', norm_relu(f'{name}.bn3', y))
        if f'{name}.downsample.0.weight' in state:
            x = conv(f'{name}.downsample.0', x)
        return x + y

    def blocks(name, x):
        block = 0
        while f'{name}.{block}.conv1.weight' in state:
            x = bottleneck(f'{name}.{block}', x)
            block += 1
        return x

    def hourglass(stack, level, x):
        name = f'hg.{stack}.hg.{level}'
        y = blocks(f'{name}.1', F.max_pool2d(x, 2))
        y = blocks(f'{name}.3', y) if level == 0 else hourglass(stack, level - 1, y)
        y = blocks(f'{name}.2', y)
        y = y.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return blocks(f'{name}.0', x) + y

    depth = 1 + max(int(name.split('.')[3]) for name in state
                    if name.startswith('hg.0.'))
    x = norm_relu('bn1', conv('conv1', x, stride=2, padding=3))
    x = F.max_pool2d(blocks('layer1', x), 2)
    x = blocks('layer3', blocks('layer2', x))
    heatmaps = []
    while f'score.{len(heatmaps)}.weight' in state:
        stack = len(heatmaps)
        y = blocks(f'res.{stack}', hourglass(stack, depth - 1, x))
        y = norm_relu(f'fc.{stack}.1', conv(f'fc.{stack}.0', y))
        heatmaps.append(conv(f'score.{stack}', y))
        if f'fc_.{stack}.weight' in state:
            x = x + conv(f'fc_.{stack}', y) + conv(f'score_.{stack}', heatmaps[-1])
    return heatmaps


def save(tmp_path, state, **content):
    path = tmp_path / 'model_best.pth.tar'
    torch.save(dict(
        epoch=90, arch='hg', best_acc=torch.tensor(.84),
        optimizer=dict(state={}, param_groups=[dict(lr=2.5e-5)]),
        state_dict={f'module.{name}': value
                    for name, value in state.items()}, **content), path)
    return str(path)


@pytest.mark.parametrize('network', [
    dict(mobile=True),
    dict(mobile=False, stacks=3, blocks=2, feats=8, joints=5, stem=4, depth=2),
    dict(mobile=True, stacks=1, blocks=3, feats=4, joints=1, stem=8, depth=3),
    dict(mobile=False, stacks=2, blocks=1, feats=8, stem=8, depth=1),
], ids=['published', 'blocks', 'one_stack', 'shallow'])
def test_heatmaps_are_those_of_the_original_code(network, tmp_path):
    state = original_state(**network)
    out = tmp_path / 'converted.pth'
    found = convert_checkpoint(save(tmp_path, state), str(out))
    model = MODELS.build(dict(
        type='TopdownPoseEstimator',
        backbone=dict(type='PreActHourglassNet', **found),
        head=dict(type='CPMHead', in_channels=found['out_channels'],
                  out_channels=found['out_channels'],
                  num_stages=found['num_stacks'], final_layer=None)))
    load_checkpoint(model, str(out), strict=True)
    model.eval()
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        predicted = model(image, None)
        expected = original_heatmaps(state, image)
    assert len(predicted) == len(expected) == network.get('stacks', 2)
    for ours, theirs in zip(predicted, expected, strict=True):
        assert theirs.std() > 1e-3
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


SMALL = dict(stacks=1, feats=4, stem=4, depth=1)


def test_the_stock_checkpoint_holds_what_the_inferencer_reads(tmp_path, capsys):
    config = str(CONFIGS / 'hourglass_mobile_s2_mpii.py')
    out = tmp_path / 'new' / 'converted.pth'
    assert main([save(tmp_path, original_state()), str(out), '--config', config]) == 0
    printed = capsys.readouterr().out
    assert "'num_stacks': 2" in printed and 'HourglassHeatmap' in printed
    content = torch.load(out, map_location='cpu')
    assert set(content) == {'meta', 'state_dict'}
    assert (content['meta']['epoch'], content['meta']['arch']) == (90, 'hg')
    # the original order, as its pairs of left and right have it
    pairs = content['meta']['dataset_meta']['flip_indices']
    assert pairs == [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10]
    held = Config.fromstring(content['meta']['cfg'], '.py')
    assert held.model == Config.fromfile(config).model
    init_default_scope('mmpose')
    MODELS.build(held.model).load_state_dict(content['state_dict'], strict=True)
    assert list(out.parent.iterdir()) == [out]


def test_checkpoints_of_the_first_pytorch_that_had_none_count_no_batches():
    converted, network = convert_hourglass_state({
        name: value for name, value in original_state(**SMALL).items()
        if 'num_batches' not in name})
    PreActHourglassNet(**network).load_state_dict(converted, strict=True)


def test_other_networks_are_refused(tmp_path):
    state = original_state(**dict(SMALL, stacks=2))
    lacking = dict(state)
    del lacking['score_.0.weight']
    out = str(tmp_path / 'out.pth')
    for given, message in (
            ({'layer.weight': torch.ones(1)}, 'res.0.0.conv2.weight'),
            ({**state, 'fc_.0.extra': torch.ones(1)},
             'remap_features.0.extra'),
            (lacking, '(?s)model_best.*remap_predictions.0.weight')):
        with pytest.raises(UserError, match=message):
            convert_checkpoint(save(tmp_path, given), out)
    with pytest.raises(UserError, match="(?s)'num_feats': 4.*hourglass_s2_mpii"):
        convert_checkpoint(save(tmp_path, state), out,
                           str(CONFIGS / 'hourglass_s2_mpii.py'))
    # it would be read half a pixel of its heatmaps aside
    other = tmp_path / 'other.py'
    other.write_text(f"_base_ = '{CONFIGS / 'hourglass_mobile_s2_mpii.py'}'\n"
                     'codec = dict(\n    type="MSRAHeatmap", input_size=(256, 256), '
                     'heatmap_size=(64, 64), sigma=1)\n'
                     'model = dict(head=dict(decoder=dict(_delete_=True, **codec)))\n')
    with pytest.raises(UserError, match=r'model\.head\.decoder.*MSRAHeatmap'):
        convert_checkpoint(save(tmp_path, original_state()), out, str(other))
    assert not Path(out).exists()


def test_files_that_do_not_fit_are_refused(tmp_path):
    out, cut, other = (str(tmp_path / name) for name in (
        'out.pth', 'cut.pth.tar', 'other.pth.tar'))
    whole = save(tmp_path, original_state(**SMALL))
    Path(cut).write_bytes(Path(whole).read_bytes()[:2000])
    torch.save([1], other)
    for arguments, error, named in (
            (('nowhere.pth.tar', out), MissingFile, 'nowhere.pth.tar'),
            ((whole, out, 'nowhere.py'), MissingFile, 'nowhere.py'),
            ((whole, 'out.tar'), UserError, 'out.tar'),
            ((cut, out), UserError, 'cut.pth.tar'),
            ((other, out), UserError, 'state_dict')):
        with pytest.raises(error, match=named):
            convert_checkpoint(*arguments)
    kept = Path(whole).rename(tmp_path / 'kept.pth')
    with pytest.raises(UserError, match='kept.pth'):
        main([str(kept), str(kept)])
    # anything else may run code when it is read
    with pytest.raises(UserError, match='trust'):
        convert_checkpoint(save(tmp_path, original_state(**SMALL),
                                args=argparse.Namespace(lr=1)), out)
