# Two networks that teach each other: 300 labeled people, and all 6,000 without labels
_base_ = 'supervised_efficientnet_lite0_lspet.py'

batch_size = 32
model = dict(
    _delete_=True, type='PoseDual', network=_base_.model, channels_last=True,
    hard_views=[
        dict(type='JointCutout', num_joints=2), dict(type='HardAffine')])
labeled = dict(
    type='CropCache', dataset=dict(
        _base_.train_dataloader.dataset.dataset.dataset,
        pipeline=_base_.train_pipeline[:-1]))
unlabeled = dict(
    type='UnlabeledPoseDataset', cache='disk', data_root=_base_.data_root,
    metainfo=_base_.metainfo, data_prefix=dict(img='images/'),
    ann_file='lspet_train.json', pipeline=_base_.train_pipeline[:-2])
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(
        _delete_=True, type='EpochMultiSourceSampler', batch_size=batch_size,
        source_ratio=[1, 1]),
    dataset=dict(
        _delete_=True, type='CombinedDataset', metainfo=_base_.metainfo,
        datasets=[labeled, unlabeled],
        pipeline=[dict(type='PackSemiSupervisedPoseInputs')]))
val_evaluator = dict(
    _delete_=True, type='NetworksEvaluator', metrics=_base_.val_evaluator)
test_evaluator = val_evaluator
custom_hooks = [
    _base_.custom_hooks[0],
    dict(type='DualNetworkHook', ramp='sigmoid', ramp_length=1),
    dict(type='UnreadableImagesHook')]
