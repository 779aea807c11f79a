# Two networks that teach each other: 100 labeled people, 1,200 without labels
_base_ = 'supervised_resnet18_annypose.py'

batch_size = 32
model = dict(
    _delete_=True, type='PoseDual', network=_base_.model,
    hard_views=[
        dict(type='JointCutout'),
        dict(type='HardAffine', rotate_factor=20., scale_factor=0.15)])
labeled = dict(
    _base_.train_dataloader.dataset.dataset,
    pipeline=_base_.train_pipeline[:-1])
unlabeled = dict(
    type='UnlabeledPoseDataset', data_root=_base_.data_root,
    data_prefix=dict(img='train/'),
    ann_file='annotations/person_keypoints_train.json',
    indices=_base_.num_unlabeled, pipeline=_base_.train_pipeline[:-2])
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
# the networks begin at random, with nothing to teach yet
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='DualNetworkHook', ramp='sigmoid', ramp_length=4),
    dict(type='UnreadableImagesHook')]
