_base_ = 'posedual_res18_coco1k.py'

train_cfg = dict(max_epochs=100, val_interval=10)
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=100, milestones=[70, 90], gamma=0.1,
        by_epoch=True)]
model = dict(
    type='PoseTriple', confidence_threshold=0.1,
    hard_views=[dict(type='JointCutOcclude'), dict(type='HardAffine')],
    test_cfg=dict(predict_with='third'))
