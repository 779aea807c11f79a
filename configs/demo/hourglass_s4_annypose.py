# A teacher for the hourglass_mobile_s2_fpd configs: four stacks with a quarter
# of the channels
_base_ = 'resnet18_mse_annypose.py'

max_epochs = 14
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
codec = dict(
    type='UDPHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.)
model = dict(
    backbone=dict(
        _delete_=True, type='PreActHourglassNet', num_stacks=4, num_blocks=1,
        num_feats=32, out_channels=17, stem_channels=32, downsample_times=3),
    head=dict(
        _delete_=True, type='CPMHead', in_channels=17, out_channels=17,
        num_stages=4, final_layer=None,
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec))
train_pipeline = [
    *_base_.train_pipeline[:-2], dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')]
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
