# The teacher of fast pose distillation. Inputs, augmentation and schedule are
# those of the original code, so its checkpoints, converted, see what they know
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/mpii/td-hm_hourglass52_8xb64-210e_mpii-256x256.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
train_cfg = dict(max_epochs=90, val_interval=1)
optim_wrapper = dict(optimizer=dict(type='RMSprop', lr=2.5e-4))
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=90, milestones=[60], gamma=0.1,
        by_epoch=True)]
auto_scale_lr = dict(base_batch_size=6)

codec = dict(
    type='HourglassHeatmap', input_size=(256, 256), heatmap_size=(64, 64),
    sigma=1., teach_absent=True)
model = dict(
    # RGB from 0 to 1 without its mean, not divided by its deviation
    data_preprocessor=dict(
        mean=[112.302, 113.22, 110.3385], std=[255., 255., 255.]),
    backbone=dict(
        _delete_=True, type='PreActHourglassNet', num_stacks=8, num_blocks=1),
    head=dict(in_channels=16, num_stages=8, final_layer=None, decoder=codec),
    test_cfg=dict(flip_test=False, shift_heatmap=False))
train_pipeline = [
    *_base_.train_pipeline[:3],
    dict(
        type='ClippedBBoxTransform', shift_prob=0.,
        scale_factor=(0.75, 1.25), rotate_factor=60.),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='RandomChannelGain', gain=(0.8, 1.2)),
    dict(type='GenerateTarget', encoder=codec), dict(type='PackPoseInputs')]
train_dataloader = dict(batch_size=6, dataset=dict(pipeline=train_pipeline))
val_evaluator = dict(type='MpiiMeanPCKAccuracy')
test_evaluator = val_evaluator
