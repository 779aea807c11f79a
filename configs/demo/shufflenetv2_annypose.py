# A stock network in its stock pipeline; what differs is the data and, for two
# cores, the number of images in a batch and the schedule:
# python -m mmpose_wloss render dataset --out data/annypose_balance --val 3000
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_shufflenetv2_8xb64-210e_coco-256x192.py'

# nothing to download
model = dict(backbone=dict(init_cfg=None))
train_cfg = dict(max_epochs=4, val_interval=4)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.001, by_epoch=False),
    dict(
        type='MultiStepLR', begin=0, end=4, milestones=[3], gamma=0.1,
        by_epoch=True)]
randomness = dict(seed=0)
default_hooks = dict(checkpoint=dict(interval=1))

data_root = 'data/annypose_balance/'
val_file = 'annotations/person_keypoints_val.json'
train_dataloader = dict(
    batch_size=16, num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        ann_file='annotations/person_keypoints_train.json',
        data_prefix=dict(img='train/')))
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(
        data_root=data_root, ann_file=val_file, bbox_file=None,
        data_prefix=dict(img='val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + val_file)
test_evaluator = val_evaluator
