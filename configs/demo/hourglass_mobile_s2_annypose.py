# A student: two mobile stacks with three sixteenths of the channels
_base_ = 'hourglass_s4_annypose.py'

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=5e-3))
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
model = dict(
    backbone=dict(num_stacks=2, num_feats=24, stem_channels=24, mobile=True),
    head=dict(num_stages=2))
