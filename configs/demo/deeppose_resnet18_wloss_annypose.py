# DeepPose's regression, with the backbone of the demo
_base_ = 'resnet18_wloss_annypose.py'

label = dict(type='CenteredRegressionLabel', input_size=(64, 64))
model = dict(
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        _delete_=True, type='CenteredRegressionHead', in_channels=192,
        num_joints=17, loss=dict(type='MaskedMSELoss'), decoder=label),
    test_cfg=dict(_delete_=True, flip_test=True))
train_pipeline = [
    *_base_.train_pipeline[:-3], dict(type='GenerateTarget', encoder=label),
    *_base_.train_pipeline[-2:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
