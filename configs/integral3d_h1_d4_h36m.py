# A two-stage, coarse-to-fine hourglass that learns 2D heatmaps and a volume of
# 4 bins of depth: the first stage of the curriculum in docs/human36m.md
_base_ = 'mmpose::_base_/default_runtime.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
# learning rate, initialization and ratios are those of the original code. It does
# not state optimizer, batch size and epochs: RMSprop is what hourglasses had
train_cfg = dict(max_epochs=10, val_interval=1)
optim_wrapper = dict(optimizer=dict(type='RMSprop', lr=2.5e-5))
default_hooks = dict(
    checkpoint=dict(
        interval=1, save_best='MPJPE', rule='less', max_keep_ckpts=2))
visualizer = dict(type='Pose3DImageVisualizer')

codec = dict(
    type='IntegralPose3DLabel', input_size=(256, 256),
    heatmap_size=(64, 64, 4), sigma=2., depth_range=(-1000., 1000.))
model = dict(
    type='TopdownPose3DEstimator', root_joints=(0,),
    data_preprocessor=dict(
        type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(type='HourglassNet', num_stacks=1),
    head=dict(
        type='IntegralPose3DHead', in_channels=256, out_channels=17,
        deconv_out_channels=None, deconv_kernel_sizes=None,
        stage2=dict(
            type='HourglassStage', in_channels=256, heatmap_channels=17),
        mode='H1', heatmap2_init_std=0.01, decoder=codec),
    test_cfg=dict(flip_test=True))

# the annotated box is padded already
crop = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.)]
affine = dict(
    type='TopdownAffine', input_size=codec['input_size'], use_udp=True)
train_pipeline = [
    *crop, dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='RandomBBoxTransform', scale_factor=(0.75, 1.25),
        rotate_factor=60.),
    affine, dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPose3DInputs')]
val_pipeline = [*crop, affine, dict(type='PackPose3DInputs')]
data = dict(
    type='Human36mImageDataset', data_root='data/h36m/',
    camera_param_file='annotation_body3d/cameras.pkl',
    data_prefix=dict(img='images/'), protocol=1)
# at 50 frames a second, neighbors are nearly the same
train_dataloader = dict(
    batch_size=8, num_workers=4, persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
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
