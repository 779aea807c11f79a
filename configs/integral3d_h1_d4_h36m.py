# A two-stage, coarse-to-fine hourglass that learns 2D heatmaps and a volume of
# 4 bins of depth: the first stage of the curriculum in docs/human36m.md
_base_ = 'mmpose::_base_/default_runtime.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
# all numbers are those of the original code; docs/fidelity.md says what differs
train_cfg = dict(max_epochs=10, val_interval=1)
optim_wrapper = dict(
    optimizer=dict(type='RMSprop', lr=2.5e-5, alpha=0.99, eps=1e-8),
    paramwise_cfg=dict(bias_lr_mult=2.))
default_hooks = dict(
    checkpoint=dict(
        interval=1, save_best='MPJPE', rule='less', max_keep_ckpts=2))
# MMPose's hourglass has a block that the last stack does not use
find_unused_parameters = True
visualizer = dict(type='Pose3DImageVisualizer')

codec = dict(
    type='IntegralPose3DLabel', input_size=(256, 256),
    heatmap_size=(64, 64, 4), sigma=2., depth_sigma=1 / 6, nearest_bin=True,
    depth_range=(-1005.185902, 980.8599))
model = dict(
    type='TopdownPose3DEstimator', root_joints=(0,),
    data_preprocessor=dict(
        type='PoseDataPreprocessor', mean=[128.] * 3, std=[256.] * 3),
    backbone=dict(type='HourglassNet', num_stacks=1),
    head=dict(
        type='IntegralPose3DHead', in_channels=256, out_channels=16,
        deconv_out_channels=None, deconv_kernel_sizes=None,
        stage2=dict(
            type='HourglassStage', in_channels=256, heatmap_channels=16),
        mode='H1', heatmap2_init_std=0.01, decoder=codec),
    test_cfg=dict(flip_test=True))

# 256 pixels show a crop of 224 at 1 / 1.12 of its size
crop = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.28)]
affine = dict(
    type='TopdownAffine', input_size=codec['input_size'], use_udp=True)
train_pipeline = [
    *crop, dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='UniformBBoxTransform', shift_prob=0., scale_factor=(0.7, 1.3),
        rotate_factor=40., rotate_prob=1.),
    affine, dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPose3DInputs')]
val_pipeline = [*crop, affine, dict(type='PackPose3DInputs')]
data = dict(
    type='Human36mImageDataset', data_root='data/h36m/',
    camera_param_file='annotation_body3d/cameras.pkl',
    data_prefix=dict(img='images/'), protocol=1, left_out=['spine'])
# at 50 frames a second, neighbors are nearly the same; 160,533 iterations
train_dataloader = dict(
    batch_size=3, num_workers=4, persistent_workers=True,
    sampler=dict(type='DrawSampler', num_samples=48_160),
    dataset=dict(
        data, ann_file='annotation_body3d/fps50/h36m_train.npz', split='train',
        frame_interval=5, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16, num_workers=4, persistent_workers=True, drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        data, ann_file='annotation_body3d/fps50/h36m_test.npz', split='test',
        frame_interval=64, test_mode=True, pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='MPJPE', mode='mpjpe'), dict(type='MPJPE', mode='p-mpjpe')]
test_evaluator = val_evaluator
