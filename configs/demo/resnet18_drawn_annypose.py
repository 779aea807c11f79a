# python -m mmpose_wloss density fit configs/demo/resnet18_drawn_annypose.py
_base_ = 'resnet18_mse_annypose.py'

pose_density = dict(file='work_dirs/pose_density/annypose_train.npz')
train_dataloader = dict(
    sampler=dict(
        _delete_=True, type='PoseDensitySampler', file=pose_density['file']))
