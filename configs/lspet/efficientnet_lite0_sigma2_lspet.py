# The teacher of the hourglass configs, with wider Gaussians: random weights learn
# faster from them, and teacher and student must have the same
_base_ = 'efficientnet_lite0_mse_lspet.py'

codec = dict(_base_.codec, sigma=2.)
model = dict(head=dict(decoder=codec))
train_pipeline = [
    *_base_.train_pipeline[:-2], dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs')]
train_dataloader = dict(
    dataset=dict(dataset=dict(pipeline=train_pipeline)))
