# A network with ImageNet weights, on 6,000 images of the embedded data set:
# python benchmarks/imagenet_weights.py and python -m mmpose_wloss render dataset
# --train 6000 --val 1000 --out data/annypose_6000
_base_ = 'resnet18_mse_annypose.py'

max_epochs = 2
train_cfg = dict(max_epochs=max_epochs)
# eps as in ../lspet/efficientnet_lite0_mse_lspet.py
optim_wrapper = dict(optimizer=dict(
    type='AdamW', lr=1e-3, eps=1e-10, weight_decay=0.01, fused=True))
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
custom_hooks = [dict(type='SyncBuffersHook'), dict(type='ChannelsLastHook')]

codec = dict(_base_.codec, heatmap_size=(16, 16), sigma=1.)
model = dict(
    data_preprocessor=dict(mean=[127., 127., 127.], std=[128., 128., 128.]),
    backbone=dict(
        _delete_=True, type='TIMMBackbone',
        model_name='tf_efficientnet_lite0', out_indices=(2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/imagenet/tf_efficientnet_lite0.pth')),
    neck=dict(type='FeatureMapProcessor', concat=True),
    head=dict(
        in_channels=40 + 112, deconv_out_channels=(64, ),
        deconv_kernel_sizes=(4, ), decoder=codec),
    train_cfg=dict(compute_acc=False))

data_root = 'data/annypose_6000/'
train_pipeline = [
    *_base_.train_pipeline[:-2], dict(type='GenerateTarget', encoder=codec),
    _base_.train_pipeline[-1]]
train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = [
    dict(_base_.val_evaluator[0],
         ann_file=data_root + 'annotations/person_keypoints_val.json'),
    _base_.val_evaluator[1]]
test_evaluator = val_evaluator
