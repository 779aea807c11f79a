# A pretrained network for two cores, on 6,000 real people of LSP-extended:
# python benchmarks/lspet.py and python benchmarks/imagenet_weights.py
_base_ = 'mmpose::_base_/default_runtime.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
max_epochs = 8
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
randomness = dict(seed=0)
# gradients of heatmaps' MSE come near the usual eps of 1e-8: with that, the scale of a
# loss would count
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=1e-3, eps=1e-10, fused=True))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(
        type='CosineAnnealingLR', begin=0, end=max_epochs, eta_min_ratio=0.01,
        by_epoch=True, convert_to_iter_based=True)]
default_hooks = dict(
    checkpoint=dict(interval=1, max_keep_ckpts=1), logger=dict(interval=20))
custom_hooks = [dict(type='SyncBuffersHook'), dict(type='ChannelsLastHook')]

codec = dict(
    type='UDPHeatmap', input_size=(96, 96), heatmap_size=(24, 24), sigma=1.)
model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor', mean=[127., 127., 127.],
        std=[128., 128., 128.], bgr_to_rgb=True),
    backbone=dict(
        type='TIMMBackbone', model_name='tf_efficientnet_lite0',
        out_indices=(2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/imagenet/tf_efficientnet_lite0.pth')),
    neck=dict(type='FeatureMapProcessor', concat=True),
    head=dict(
        type='HeatmapHead', in_channels=40 + 112, out_channels=14,
        deconv_out_channels=(64, ), deconv_kernel_sizes=(4, ),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec),
    train_cfg=dict(compute_acc=False), test_cfg=dict(flip_test=False))

dataset_type = 'CocoDataset'
data_mode = 'topdown'
data_root = 'data/lspet/'
metainfo = dict(from_file='{{ fileDirname }}/../_base_/datasets/lsp.py')
crop = [dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.)]
affine = dict(
    type='TopdownAffine', input_size=codec['input_size'], use_udp=True)
train_pipeline = [
    *crop, dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='RandomBBoxTransform', scale_factor=(0.75, 1.25),
        rotate_factor=30.),
    affine, dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')]
val_pipeline = [*crop, affine, dict(type='PackPoseInputs')]
train_dataloader = dict(
    batch_size=16, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CropCache', dataset=dict(
            type=dataset_type, data_root=data_root, data_mode=data_mode,
            metainfo=metainfo, ann_file='lspet_train.json',
            data_prefix=dict(img='images/'), pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=50, num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
    dataset=dict(
        type='CropCache', dataset=dict(
            type=dataset_type, data_root=data_root, data_mode=data_mode,
            metainfo=metainfo, ann_file='lspet_test.json',
            data_prefix=dict(img='images/'), test_mode=True,
            pipeline=val_pipeline)))
test_dataloader = val_dataloader
val_evaluator = [dict(type='LSPPCKAccuracy'), dict(type='PCKAccuracy', thr=0.1)]
test_evaluator = val_evaluator
