_base_ = 'posedual_res18_coco1k.py'

train_cfg = dict(max_epochs=100, val_interval=10)
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=100, milestones=[70, 90], gamma=0.1,
        by_epoch=True)]
labeled = dict(
    _base_.labeled,
    ann_file='annotations/person_keypoints_train2017_first5000.json')
train_dataloader = dict(
    dataset=dict(datasets=[labeled, _base_.unlabeled]))
