# DeepPose's regression, with the backbone of the heatmaps
_base_ = 'efficientnet_lite0_wloss_lspet.py'

label = dict(type='CenteredRegressionLabel', input_size=(96, 96))
model = dict(
    backbone=dict(out_indices=(4, )),
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(
        _delete_=True, type='CenteredRegressionHead', in_channels=320,
        num_joints=14, loss=dict(type='MaskedMSELoss'), decoder=label))
train_pipeline = [
    *_base_.train_pipeline[:-3], dict(type='GenerateTarget', encoder=label),
    *_base_.train_pipeline[-2:]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
