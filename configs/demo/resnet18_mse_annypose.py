# A network small enough to train on two cores in minutes, on the embedded data
# set: python -m mmpose_wloss render dataset --out data/annypose
_base_ = 'mmpose::_base_/default_runtime.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
randomness = dict(seed=0)
optim_wrapper = dict(optimizer=dict(type='Adam', lr=4e-3))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(
        type='CosineAnnealingLR', begin=0, end=max_epochs, eta_min_ratio=0.01,
        by_epoch=True, convert_to_iter_based=True)]
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=2), logger=dict(interval=20))

codec = dict(
    type='UDPHeatmap', input_size=(64, 64), heatmap_size=(32, 32), sigma=1.5)
# a ResNet-18 with 3/8 of its channels
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=18, stem_channels=24, base_channels=24),
    head=dict(
        type='HeatmapHead', in_channels=192, out_channels=17,
        deconv_out_channels=(48, 48, 48, 48), deconv_kernel_sizes=(4, 4, 4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec),
    test_cfg=dict(flip_test=True, flip_mode='heatmap', shift_heatmap=False))

# MMPose's inferencers read these two
dataset_type = 'CocoDataset'
data_mode = 'topdown'
data_root = 'data/annypose/'
crop = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale')]
affine = dict(
    type='TopdownAffine', input_size=codec['input_size'], use_udp=True)
train_pipeline = [
    *crop, dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='RandomBBoxTransform', scale_factor=(0.85, 1.15),
        rotate_factor=20.),
    affine, dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')]
val_pipeline = [*crop, affine, dict(type='PackPoseInputs')]
train_dataloader = dict(
    batch_size=32, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type=dataset_type, data_root=data_root, data_mode=data_mode,
        ann_file='annotations/person_keypoints_train.json',
        data_prefix=dict(img='train/'), pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=32, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type=dataset_type, data_root=data_root, data_mode=data_mode,
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='val/'), test_mode=True, pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type='CocoMetric',
        ann_file=data_root + 'annotations/person_keypoints_val.json'),
    dict(type='PCKAccuracy', thr=0.1)]
test_evaluator = val_evaluator
