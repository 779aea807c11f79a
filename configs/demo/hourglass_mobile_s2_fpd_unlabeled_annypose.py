# As many images without labels beside those with labels, which the teacher
# alone teaches: python -m mmpose_wloss render dataset --unlabeled 4000
_base_ = 'hourglass_mobile_s2_fpd_annypose.py'

batch_size = 32
# as many people as there are labels of
num_unlabeled = 2185
labeled = dict(
    _base_.train_dataloader.dataset, pipeline=_base_.train_pipeline[:-1])
unlabeled = dict(
    type='UnlabeledPoseDataset', data_root=_base_.data_root,
    ann_file='annotations/image_info_unlabeled.json',
    bbox_file=_base_.data_root + 'annotations/person_boxes_unlabeled.json',
    data_prefix=dict(img='unlabeled/'), indices=num_unlabeled,
    pipeline=_base_.train_pipeline[:-2])
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
custom_hooks = [*_base_.custom_hooks, dict(type='UnreadableImagesHook')]
