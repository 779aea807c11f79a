_base_ = 'supervised_res18_coco1k.py'

batch_size = 64
train_cfg = dict(max_epochs=30, val_interval=5)
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=30, milestones=[20, 25], gamma=0.1,
        by_epoch=True)]
auto_scale_lr = dict(base_batch_size=64)

model = dict(
    _delete_=True, type='PoseCons', network=_base_.model,
    hard_views=[dict(type='HardAffine')])
labeled = dict(
    _base_.train_dataloader.dataset, pipeline=_base_.train_pipeline[:-1])
unlabeled = dict(
    type='UnlabeledPoseDataset', data_root=_base_.data_root,
    ann_file='annotations/person_keypoints_train2017.json',
    filter_cfg=dict(num_keypoints_thr=1),
    data_prefix=dict(img='train2017/'), pipeline=_base_.train_pipeline[:-2])
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(
        _delete_=True, type='EpochMultiSourceSampler', batch_size=batch_size,
        source_ratio=[1, 1]),
    dataset=dict(
        _delete_=True, type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        datasets=[labeled, unlabeled],
        pipeline=[dict(type='PackSemiSupervisedPoseInputs')]))
val_evaluator = dict(
    _delete_=True, type='NetworksEvaluator', metrics=_base_.val_evaluator)
test_evaluator = val_evaluator
custom_hooks = [
    *_base_.custom_hooks, dict(type='DualNetworkHook'),
    dict(type='UnreadableImagesHook')]
