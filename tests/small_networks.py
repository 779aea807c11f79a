"""Small stock networks and mixed batches for them."""

from mmpose_wloss.common.configs import components

import numpy as np
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import KEYPOINT_CODECS, MODELS
from mmpose.structures import PoseDataSample

INPUT = (48, 64)
KEYPOINTS = 5
FLIP_INDICES = [1, 0, 2, 4, 3]
MSRA = dict(type='MSRAHeatmap', input_size=INPUT, heatmap_size=(12, 16),
            sigma=1.5)
SQUARE = dict(MSRA, input_size=(64, 64), heatmap_size=(16, 16))
UDP = dict(MSRA, type='UDPHeatmap')
MEGVII = dict(type='MegviiHeatmap', input_size=INPUT, heatmap_size=(12, 16),
              kernel_size=5)
OFFSETS = dict(MSRA, type='UDPHeatmap', heatmap_type='combined', radius_factor=0.2)
COORDINATES = dict(type='RegressionLabel', input_size=INPUT)
HOURGLASS = dict(MSRA, type='HourglassHeatmap')
SIMCC = dict(type='SimCCLabel', input_size=INPUT, sigma=3.,
             simcc_split_ratio=2.0, normalize=False)
PREPROCESSOR = dict(type='PoseDataPreprocessor', mean=[120.] * 3,
                    std=[60.] * 3, bgr_to_rgb=True)
RESNET = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8,
              strides=(1, 2, 2, 1), dilations=(1, 1, 1, 1),
              zero_init_residual=False)


def heatmap_network(codec=None, backbone=None, **head):
    head = dict(dict(
        type='HeatmapHead', in_channels=64, out_channels=KEYPOINTS,
        deconv_out_channels=(8, 8), deconv_kernel_sizes=(4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec or MSRA), **head)
    return dict(type='TopdownPoseEstimator', data_preprocessor=PREPROCESSOR,
                backbone=backbone or RESNET, head=head,
                test_cfg=dict(flip_test=True, flip_mode='heatmap',
                              shift_heatmap=False))


def rtmpose_network():
    return dict(
        type='TopdownPoseEstimator', data_preprocessor=PREPROCESSOR,
        backbone=RESNET,
        head=dict(
            type='RTMCCHead', in_channels=64, out_channels=KEYPOINTS,
            input_size=INPUT, in_featuremap_size=(3, 4),
            simcc_split_ratio=2.0, final_layer_kernel_size=3,
            gau_cfg=dict(hidden_dims=32, s=16, expansion_factor=2,
                         dropout_rate=0., drop_path=0., act_fn='SiLU',
                         use_rel_bias=False, pos_enc=False),
            loss=dict(type='KLDiscretLoss', use_target_weight=True, beta=10.,
                      label_softmax=True),
            decoder=SIMCC),
        test_cfg=dict(flip_test=True))


def simcc_network():
    return dict(rtmpose_network(), head=dict(
        type='SimCCHead', in_channels=64, out_channels=KEYPOINTS,
        input_size=INPUT, in_featuremap_size=(3, 4), simcc_split_ratio=2.0,
        deconv_out_channels=None,
        loss=dict(type='KLDiscretLoss', use_target_weight=True),
        decoder=dict(SIMCC, normalize=True)))


def offset_network():
    network = heatmap_network(OFFSETS, out_channels=3 * KEYPOINTS, loss=dict(
        type='CombinedTargetMSELoss', use_target_weight=True))
    # as stock configs have it: offsets have no peak
    return dict(network, train_cfg=dict(compute_acc=False),
                test_cfg=dict(network['test_cfg'], flip_mode='udp_combined'))


def regression_network(codec=COORDINATES, **head):
    network = heatmap_network()
    return dict(
        network, neck=dict(type='GlobalAveragePooling'),
        head=dict(dict(
            type='RegressionHead', in_channels=64, num_joints=KEYPOINTS,
            loss=dict(type='SmoothL1Loss', use_target_weight=True),
            # joints that a network sees outside are not taught
            init_cfg=dict(type='Normal', layer='Linear', std=0.01, bias=0.3),
            decoder=codec), **head),
        test_cfg=dict(flip_test=True))


def hourglass_network():
    network = heatmap_network(
        SQUARE, dict(
            type='HourglassNet', num_stacks=2, downsample_times=2,
            stage_channels=(256, 16, 16), stage_blocks=(1, 1, 1)),
        type='CPMHead', in_channels=256, num_stages=2, deconv_out_channels=None)
    del network['head']['deconv_kernel_sizes']
    return network


def hrnet_network():
    return heatmap_network(
        SQUARE,
        backbone=dict(type='HRNet', in_channels=3, extra=dict(
            stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK',
                        num_blocks=(1, ), num_channels=(8, )),
            **{f'stage{i}': dict(
                num_modules=1, num_branches=2 if i == 2 else i, block='BASIC',
                num_blocks=(1, ) * i, num_channels=(4, 8, 8, 8)[:i])
               for i in (2, 3, 4)})),
        in_channels=4, deconv_out_channels=None)


NETWORKS = {
    'MSRA': lambda: heatmap_network(MSRA),
    'UDP': lambda: heatmap_network(UDP),
    'Megvii': lambda: heatmap_network(MEGVII),
    'hourglass codec': lambda: heatmap_network(HOURGLASS),
    'HRNet': hrnet_network,
    'hourglass': hourglass_network,
    'SimCC': simcc_network,
    'RTMPose': rtmpose_network,
    'offsets': offset_network,
    'regression': regression_network,
    'RLE': lambda: regression_network(type='RLEHead', loss=dict(
        type='RLELoss', use_target_weight=True)),
    'centered': lambda: regression_network(
        dict(COORDINATES, type='CenteredRegressionLabel'),
        type='CenteredRegressionHead', loss=dict(type='MaskedMSELoss')),
}


def batch_for(network, labeled=3, unlabeled=3, seed=0, labels_of=None):
    """Inputs and samples as the data loader gives them."""
    rng = np.random.default_rng(seed)
    codec = KEYPOINT_CODECS.build(
        (labels_of or network)['head']['decoder'])
    size = codec.input_size
    inputs, samples = [], []
    for index in range(labeled + unlabeled):
        inputs.append(torch.from_numpy(
            rng.integers(0, 256, (3, size[1], size[0]), dtype=np.uint8)))
        sample = PoseDataSample(metainfo=dict(
            id=index, img_id=index, img_shape=size[::-1], input_size=size,
            input_center=np.array([50., 60.]), input_scale=np.array([60., 80.]),
            flip_indices=FLIP_INDICES, labeled=index < labeled))
        sample.gt_instances = InstanceData(
            bboxes=np.array([[0., 0., 40., 60.]], np.float32),
            bbox_scores=np.ones(1, np.float32))
        visible = np.ones((1, KEYPOINTS), np.float32)
        if index < labeled:
            visible[0, index % KEYPOINTS] = 0
            joints = rng.uniform(5, 43, (1, KEYPOINTS, 2)).astype(np.float32)
            encoded = codec.encode(joints, visible)
            labels = {key: value for key, value in encoded.items()
                      if key.startswith('keypoint')}
            if 'heatmaps' in encoded:
                sample.gt_fields = PixelData(
                    heatmaps=encoded['heatmaps']).to_tensor()
        else:
            labels = dict(keypoint_weights=visible)
        sample.gt_instance_labels = InstanceData(**labels).to_tensor()
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def build(network=None, kind='PoseDual', seed=0, **arguments):
    init_default_scope('mmpose')
    torch.manual_seed(seed)
    arguments.setdefault('hard_views', [
        dict(type='JointCutout', half_size=(3, 6), jitter=2.),
        dict(type='HardAffine')])
    model = MODELS.build(dict(
        type=kind, network=network or heatmap_network(), **arguments))
    model.init_weights()
    return model


def losses_of(model, data, seed=0):
    torch.manual_seed(seed)
    data = model.data_preprocessor(data, True)
    return model(**data, mode='loss')


def checkpoint_of(config, folder, seed=1, name='teacher.pth', **content):
    init_default_scope('mmpose')
    torch.manual_seed(seed)
    model = MODELS.build(config)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), **content), folder / name)
    return str(folder / name)


def distiller(student, teacher, folder, seed=0, **arguments):
    init_default_scope('mmpose')
    if 'teacher_checkpoint' not in arguments:
        arguments['teacher_checkpoint'] = checkpoint_of(teacher, folder)
    torch.manual_seed(seed)
    model = MODELS.build(dict(type='FastPoseDistiller', student=student,
                              teacher=teacher, **arguments))
    model.init_weights()
    return model


def shrink_images(config, size=128):
    """Let the heatmap network of a config see small images."""
    parts = [part for key in ('model', 'train_dataloader', 'val_dataloader')
             for _, part in components(config[key])]
    codecs = [part for part in parts if 'heatmap_size' in part]
    for codec in codecs:
        stride = codec.input_size[0] // codec.heatmap_size[0]
        codec.update(input_size=(size, size), heatmap_size=(
            size // stride, size // stride, *codec.heatmap_size[2:]))
    for part in parts if codecs else ():
        if 'out_shape' in part:
            part.out_shape = codecs[0].heatmap_size
        elif part.get('type') in ('TopdownAffine', 'TopdownResize',
                                  'BottomupRandomAffine', 'BottomupResize'):
            part.input_size = (size, size)
