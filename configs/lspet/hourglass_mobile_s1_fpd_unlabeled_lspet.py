# Beside eight people with labels six of the same data set without and two street
# photos, whom the teacher alone teaches. An epoch shows each of these once
_base_ = 'hourglass_mobile_s1_fpd_lspet.py'

# 6,000 steps, as in eight epochs of labels alone
max_epochs = 6
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
batch_size = 16
labeled = dict(
    type='CropCache', dataset=dict(
        _base_.train_dataloader.dataset.dataset.dataset,
        pipeline=_base_.train_pipeline[:-1]))
unlabeled = dict(
    type='UnlabeledPoseDataset', cache='disk', data_root=_base_.data_root,
    metainfo=_base_.metainfo, data_prefix=dict(img='images/'),
    ann_file='lspet_train.json', pipeline=_base_.train_pipeline[:-2])
# of Clothing Co-Parsing, whole images without boxes
street = dict(
    type='UnlabeledPoseDataset', cache='disk', metainfo=_base_.metainfo,
    data_prefix=dict(img='data/ccp/images/'), indices=2000,
    pipeline=_base_.train_pipeline[:-2])
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(
        _delete_=True, type='EpochMultiSourceSampler', batch_size=batch_size,
        source_ratio=[4, 3, 1]),
    dataset=dict(
        _delete_=True, type='CombinedDataset', metainfo=_base_.metainfo,
        datasets=[labeled, unlabeled, street],
        pipeline=[dict(type='PackSemiSupervisedPoseInputs')]))
custom_hooks = [*_base_.custom_hooks, dict(type='UnreadableImagesHook')]
