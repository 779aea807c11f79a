"""Networks of the original PoseDual and its kin predict as before a conversion."""

from pathlib import Path

from mmpose_wloss.apis.original_posedual import COCO, MPII, convert_checkpoint
from mmpose_wloss.commands.convert import main
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.models.wrapped_networks import load_network

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS, MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
OUTPUTS = 24
# the original code's list of joints (lib/dataset/JointsDataset.py:64-89)
UNION = ('root rhip rkne rank lhip lkne lank belly thorax neck upper_neck nose head '
         'head_top lsho lelb lwri rsho relb rwri reye leye rear lear').split()


class Writer:
    """Draws a state with the original code's names, layer by layer."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.state = {}

    def draw(self, name, *shape, low=-1., high=1.):
        self.state[name] = low + (high - low) * torch.rand(
            shape, generator=self.generator)

    def conv(self, name, out, within, size, bias=False):
        bound = (within * size * size)**-.5
        self.draw(f'{name}.weight', out, within, size, size, low=-bound, high=bound)
        if bias:
            self.draw(f'{name}.bias', out)

    def norm(self, name, channels):
        for kind, low, high in (('weight', .5, 2), ('bias', -.5, .5),
                                ('running_mean', -.5, .5), ('running_var', .1, .5)):
            self.draw(f'{name}.{kind}', channels, low=low, high=high)
        self.state[f'{name}.num_batches_tracked'] = torch.tensor(7)

    def basic(self, name, out, within, shortcut=None):
        self.conv(f'{name}.conv1', out, within, 3)
        self.norm(f'{name}.bn1', out)
        self.conv(f'{name}.conv2', out, out, 3)
        self.norm(f'{name}.bn2', out)
        self.shortcut(name, out, within, out != within)

    def bottleneck(self, name, planes, within, strided):
        for index, (out, into, size) in enumerate((
                (planes, within, 1), (planes, planes, 3), (4 * planes, planes, 1)), 1):
            self.conv(f'{name}.conv{index}', out, into, size)
            self.norm(f'{name}.bn{index}', out)
        self.shortcut(name, 4 * planes, within, strided or within != 4 * planes)

    def shortcut(self, name, out, within, needed):
        if needed:
            self.conv(f'{name}.downsample.0', out, within, 1)
            self.norm(f'{name}.downsample.1', out)

    def resnet(self, blocks, basic, base=64, deconv=256):
        self.conv('conv1', base, 3, 7)
        self.norm('bn1', base)
        width = base
        for layer, count in enumerate(blocks):
            planes = base * 2**layer
            for block in range(count):
                name = f'layer{layer + 1}.{block}'
                if basic:
                    self.basic(name, planes, width)
                    width = planes
                else:
                    self.bottleneck(name, planes, width, block == 0 and layer > 0)
                    width = 4 * planes
        for layer in range(3):
            bound = (4 * width)**-.5
            self.draw(f'deconv_layers.{3 * layer}.weight', width, deconv, 4, 4,
                      low=-bound, high=bound)
            self.norm(f'deconv_layers.{3 * layer + 1}', deconv)
            width = deconv
        self.conv('final_layer_1', OUTPUTS, deconv, 1, bias=True)
        return self.state

    def hrnet(self, widths, modules):
        for index, within in ((1, 3), (2, 64)):
            self.conv(f'conv{index}', 64, within, 3)
            self.norm(f'bn{index}', 64)
        self.bottleneck('layer1.0', 64, 64, False)
        self.conv('transition1.0.0', widths[0], 256, 3)
        self.norm('transition1.0.1', widths[0])
        for stage in (2, 3, 4):
            before = 256 if stage == 2 else widths[stage - 2]
            name = f'transition{stage - 1}.{stage - 1}.0'
            self.conv(f'{name}.0', widths[stage - 1], before, 3)
            self.norm(f'{name}.1', widths[stage - 1])
            for module in range(modules[stage - 2]):
                name = f'stage{stage}.{module}'
                for branch in range(stage):
                    self.basic(f'{name}.branches.{branch}.0', widths[branch],
                               widths[branch])
                last = stage == 4 and module == modules[2] - 1
                for i in range(1 if last else stage):
                    for j in range(stage):
                        fuse = f'{name}.fuse_layers.{i}.{j}'
                        if j > i:
                            self.conv(f'{fuse}.0', widths[i], widths[j], 1)
                            self.norm(f'{fuse}.1', widths[i])
                        for k in range(i - j):
                            out = widths[i if k == i - j - 1 else j]
                            self.conv(f'{fuse}.{k}.0', out, widths[j], 3)
                            self.norm(f'{fuse}.{k}.1', out)
        self.conv('final_layer', OUTPUTS, widths[0], 1, bias=True)
        return self.state


class Reader:
    """Computes heatmaps of such a state, from the original code's description."""

    def __init__(self, state):
        self.state = state

    def conv(self, name, x, stride=1):
        weight = self.state[f'{name}.weight']
        return F.conv2d(x, weight, self.state.get(f'{name}.bias'), stride,
                        weight.shape[2] // 2)

    def norm(self, name, x):
        return F.batch_norm(x, *(self.state[f'{name}.{kind}'] for kind in (
            'running_mean', 'running_var', 'weight', 'bias')))

    def layer(self, name, norm, x, stride=1):
        return F.relu(self.norm(norm, self.conv(name, x, stride)))

    def block(self, name, x, stride=1):
        bottleneck = f'{name}.conv3.weight' in self.state
        y = self.layer(f'{name}.conv1', f'{name}.bn1', x, 1 if bottleneck else stride)
        y = self.norm(f'{name}.bn2', self.conv(
            f'{name}.conv2', y, stride if bottleneck else 1))
        if bottleneck:
            y = self.norm(f'{name}.bn3', self.conv(f'{name}.conv3', F.relu(y)))
        if f'{name}.downsample.0.weight' in self.state:
            x = self.norm(f'{name}.downsample.1',
                          self.conv(f'{name}.downsample.0', x, stride))
        return F.relu(x + y)

    def resnet(self, x):
        x = F.max_pool2d(self.layer('conv1', 'bn1', x, 2), 3, 2, 1)
        for layer in range(1, 5):
            block = 0
            while f'layer{layer}.{block}.conv1.weight' in self.state:
                x = self.block(f'layer{layer}.{block}', x,
                               2 if layer > 1 and block == 0 else 1)
                block += 1
        for layer in (0, 3, 6):
            x = F.conv_transpose2d(
                x, self.state[f'deconv_layers.{layer}.weight'], stride=2, padding=1)
            x = F.relu(self.norm(f'deconv_layers.{layer + 1}', x))
        return self.conv('final_layer_1', x)

    def hrnet(self, x):
        for index in (1, 2):
            x = self.layer(f'conv{index}', f'bn{index}', x, 2)
        branches = [self.block('layer1.0', x)]
        for stage in (2, 3, 4):
            name = f'transition{stage - 1}'
            lowest = f'{name}.{stage - 1}.0'
            branches = [
                *([self.layer(f'{name}.0.0', f'{name}.0.1', branches[0])]
                  if stage == 2 else branches),
                self.layer(f'{lowest}.0', f'{lowest}.1', branches[-1], 2)]
            module = 0
            while f'stage{stage}.{module}.branches.0.0.conv1.weight' in self.state:
                branches = self.fused(f'stage{stage}.{module}', branches)
                module += 1
        return self.conv('final_layer', branches[0])

    def fused(self, name, branches):
        branches = [self.block(f'{name}.branches.{i}.0', x)
                    for i, x in enumerate(branches)]
        outputs = []
        for i in range(len(branches)):
            # the last module has the first scale alone
            if i > 0 and f'{name}.fuse_layers.{i}.0.0.0.weight' not in self.state:
                break
            outputs.append(F.relu(sum(
                self.at_scale(f'{name}.fuse_layers.{i}.{j}', x, j - i)
                for j, x in enumerate(branches))))
        return outputs

    def at_scale(self, name, x, steps):
        """A branch at another scale, by so many steps up or down."""
        if steps > 0:
            x = self.norm(f'{name}.1', self.conv(f'{name}.0', x))
            return F.interpolate(x, scale_factor=2**steps, mode='nearest')
        for k in range(-steps):
            x = self.norm(f'{name}.{k}.1', self.conv(f'{name}.{k}.0', x, 2))
            x = x if k == -steps - 1 else F.relu(x)
        return x


def save(tmp_path, states, alone=False):
    prefixes = 'resnet', 'resnet2', 'final_resnet'
    state = {f'{prefix}.{name}': value
             for prefix, each in zip(prefixes, states, strict=False)
             for name, value in each.items()}
    path = tmp_path / 'model_best.pth.tar'
    torch.save(state if alone else dict(
        epoch=70, model='pose_dual_18', perf=.446, state_dict=state,
        optimizer=dict(state={}, param_groups=[dict(lr=1e-5)])), path)
    return str(path)


def config_of(tmp_path, name, options):
    """A recipe whose network is smaller."""
    config = Config.fromfile(CONFIGS / f'{name}.py')
    network = config.model.network
    network.backbone.update(options['backbone'])
    network.head.update(options['head'])
    path = tmp_path / f'{name}.py'
    config.dump(str(path))
    return str(path)


WIDTHS = (4, 8, 16, 32)
HRNET = dict(
    stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1, ),
                num_channels=(64, )),
    **{f'stage{stage}': dict(
        num_modules=modules, num_branches=stage, block='BASIC',
        num_blocks=(1, ) * stage, num_channels=WIDTHS[:stage])
       for stage, modules in ((2, 1), (3, 2), (4, 2))})
SMALL = dict(base_channels=4, stem_channels=4, init_cfg=None)
# recipe, networks, joints, the smaller network of the config, the original's
MODELS_OF = {
    'ResNet-18, PoseDual': (
        'posedual_res18_coco1k', 2, COCO,
        dict(backbone=SMALL, head=dict(in_channels=32, deconv_out_channels=(8, ) * 3)),
        lambda writer: writer.resnet((2, 2, 2, 2), True, 4, 8)),
    'ResNet-18, PoseCons': (
        'posecons_res18_coco1k', 1, COCO,
        dict(backbone=SMALL, head=dict(in_channels=32, deconv_out_channels=(8, ) * 3)),
        lambda writer: writer.resnet((2, 2, 2, 2), True, 4, 8)),
    'ResNet-18, SSPCM': (
        'posetriple_res18_coco1k', 3, COCO,
        dict(backbone=SMALL, head=dict(in_channels=32, deconv_out_channels=(8, ) * 3)),
        lambda writer: writer.resnet((2, 2, 2, 2), True, 4, 8)),
    'ResNet-50': (
        'posedual_res50_coco_unlabeled', 2, COCO,
        dict(backbone=SMALL, head=dict(in_channels=128, deconv_out_channels=(8, ) * 3)),
        lambda writer: writer.resnet((3, 4, 6, 3), False, 4, 8)),
    'HRNet, MPII': (
        'multiaugs_posedual_hrnetw32_mpii_aic', 2, MPII,
        dict(backbone=dict(extra=HRNET, init_cfg=None), head=dict(in_channels=4)),
        lambda writer: writer.hrnet(WIDTHS, (1, 2, 2))),
}


@pytest.mark.parametrize('name', MODELS_OF)
def test_heatmaps_are_those_of_the_original_code(name, tmp_path, capsys):
    recipe, networks, joints, options, draw = MODELS_OF[name]
    states = [draw(Writer(seed)) for seed in range(networks)]
    config = config_of(tmp_path, recipe, options)
    out = tmp_path / 'new' / 'converted.pth'
    assert main([save(tmp_path, states), str(out), '--config', config]) == 0
    assert f'{len(joints)} joints' in capsys.readouterr().out
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(9))
    for network, state in zip(('first', 'second', 'third'), states,
                              strict=False):
        # the config is in the checkpoint
        model, stock = load_network(None, str(out), network)
        reader = Reader(state)
        with torch.no_grad():
            expected = (reader.hrnet if 'HRNet' in name else reader.resnet)(image)
            predicted = model(image, None)
        assert expected.std() > 1e-2
        torch.testing.assert_close(
            predicted, expected[:, list(joints)], rtol=1e-4, atol=1e-4)
        assert not stock.model.data_preprocessor.bgr_to_rgb
        assert model.dataset_meta['num_keypoints'] == len(joints)
    assert model.checkpoint_meta['epoch'] == 70
    # and beside it, for a test or a training
    beside = Config.fromfile(out.with_suffix('.py'))
    assert not beside.model.network.data_preprocessor.bgr_to_rgb
    whole = MODELS.build(beside.model)
    whole.load_state_dict(torch.load(out)['state_dict'], strict=True)


@pytest.mark.parametrize('name, joints', [('coco', COCO), ('mpii', MPII)])
def test_outputs_are_the_joints_of_the_data_set(name, joints):
    init_default_scope('mmpose')
    meta = DATASETS.get(f'{name.title()}Dataset')._load_metainfo(
        dict(from_file=f'configs/_base_/datasets/{name}.py'))
    short = dict(right='r', left='l', knee='kne', ankle='ank', shoulder='sho',
                 elbow='elb', wrist='wri', pelvis='root')
    for output, joint in zip(joints, meta['keypoint_id2name'].values(), strict=True):
        if joint not in UNION:
            joint = ''.join(short.get(part, part) for part in joint.split('_'))
        assert UNION[output] == joint


def test_full_size_networks_fit_the_recipes(tmp_path):
    """A state of the original code's own widths, in a file without anything else."""
    states = [Writer(0).resnet((2, 2, 2, 2), True) for _ in range(2)]
    out = str(tmp_path / 'out.pth')
    written = convert_checkpoint(save(tmp_path, states, alone=True), out,
                                 str(CONFIGS / 'posedual_res18_coco1k.py'))
    assert 'PoseDual' in written and Path(out).exists()


def test_what_does_not_fit_is_refused(tmp_path):
    draw = MODELS_OF['ResNet-18, PoseDual'][-1]
    states = [draw(Writer(seed)) for seed in range(2)]
    dual, single, other = (config_of(tmp_path, name, MODELS_OF[key][3])
                           for name, key in (
        ('posedual_res18_coco1k', 'ResNet-18, PoseDual'),
        ('posecons_res18_coco1k', 'ResNet-18, PoseCons'),
        ('posedual_res50_coco_unlabeled', 'ResNet-50')))
    stock = str(CONFIGS / 'supervised_res18_coco1k.py')
    out = str(tmp_path / 'out.pth')
    lacking = {**states[0]}
    del lacking['layer2.0.bn1.weight']
    fewer = {**states[0], 'final_layer_1.bias': torch.zeros(17)}
    for given, config, message in (
            (states, None, '--config'), (states, single, 'networks.second'),
            (states, other, 'conv3'), (states[:1], dual, 'networks.second'),
            ([*states, states[0]], dual, 'networks.third'),
            (states, stock, 'supervised_res18'),
            ([lacking, states[1]], dual, 'networks.first.backbone.layer2.0.bn1.weight'),
            ([fewer, states[1]], dual, 'final_layer_1.bias has 17')):
        with pytest.raises(UserError, match=message):
            convert_checkpoint(save(tmp_path, given), out, config)
    state = torch.load(save(tmp_path, states, alone=True))
    torch.save({**state, 'teacher.conv1.weight': torch.ones(1)}, tmp_path / 'more.pth')
    with pytest.raises(UserError, match='teacher.conv1.weight'):
        convert_checkpoint(str(tmp_path / 'more.pth'), out, dual)
    before = Path(dual).read_bytes()
    with pytest.raises(UserError, match=Path(dual).name):
        convert_checkpoint(save(tmp_path, states), str(Path(dual).with_suffix('.pth')),
                           dual)
    assert Path(dual).read_bytes() == before
    assert not Path(out).exists() and not Path(dual).with_suffix('.pth').exists()
