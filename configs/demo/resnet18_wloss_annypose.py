# python -m mmpose_wloss density fit configs/demo/resnet18_wloss_annypose.py
_base_ = 'resnet18_mse_annypose.py'

pose_density = dict(file='work_dirs/pose_density/annypose_train.npz')
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='PoseDensityWeights', file=pose_density['file']),
    dict(type='PackPoseInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
default_hooks = dict(pose_density=dict(type='PoseDensityHook'))
