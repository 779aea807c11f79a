_base_ = 'posedual_res18_coco1k.py'

train_cfg = dict(max_epochs=70, val_interval=10)
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=70, milestones=[50, 60], gamma=0.1,
        by_epoch=True)]
model = dict(hard_views=[dict(type='JointCutout'), dict(type='HardAffine')])
