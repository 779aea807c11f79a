# A modern baseline: ResNet-50 with ImageNet's weights, 64 bins of depth at once
_base_ = 'integral3d_h1_d4_h36m.py'

train_cfg = dict(max_epochs=20)
find_unused_parameters = False
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=1e-3), paramwise_cfg=None)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=500, start_factor=0.001, by_epoch=False),
    dict(
        type='MultiStepLR', begin=0, end=20, milestones=[14, 18], gamma=0.1,
        by_epoch=True)]
codec = dict(heatmap_size=(64, 64, 64), depth_sigma=None, nearest_bin=False)
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    backbone=dict(
        _delete_=True, type='ResNet', depth=50,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    head=dict(
        in_channels=2048, deconv_out_channels=(256, 256, 256),
        deconv_kernel_sizes=(4, 4, 4), stage2=None, mode='I1',
        heatmap2_init_std=0.002, decoder=codec))
train_dataloader = dict(
    batch_size=32,
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
val_dataloader = dict(batch_size=32)
test_dataloader = val_dataloader
