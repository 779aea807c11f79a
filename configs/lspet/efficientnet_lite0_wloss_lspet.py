# python -m mmpose_wloss density fit configs/lspet/efficientnet_lite0_wloss_lspet.py
_base_ = 'efficientnet_lite0_mse_lspet.py'

pose_density = dict(file='work_dirs/pose_density/lspet_train.npz')
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='PoseDensityWeights', file=pose_density['file']),
    dict(type='PackPoseInputs')]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
default_hooks = dict(pose_density=dict(type='PoseDensityHook'))
