# A student: two mobile stacks with three sixteenths of the channels
_base_ = 'hourglass_s4_annypose.py'

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=5e-3))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True)
]
model = dict(
    backbone=dict(
        num_stacks=2, num_feats=24, stem_channels=24, mobile=True),
    head=dict(num_stages=2))
