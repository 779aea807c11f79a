# Any folder of images of people beside MPII, cropped, turned and scaled as if they
# were of it (hourglass_mobile_s2_fpd_unlabeled_squeeze_mpii.py does not); the
# teacher alone says where their joints are
_base_ = 'hourglass_mobile_s2_fpd_mpii.py'

batch_size = 6
labeled = dict(
    _base_.train_dataloader.dataset, pipeline=_base_.train_pipeline[:-1])
unlabeled = dict(
    type='UnlabeledPoseDataset',
    metainfo=dict(from_file='configs/_base_/datasets/mpii.py'),
    data_root='data/unlabeled/', data_prefix=dict(img='images/'),
    pipeline=[
        dict(type='LoadImage'),
        # the whole image
        dict(type='GetBBoxCenterScale', padding=1.),
        *_base_.train_pipeline[2:-2]])
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        _delete_=True, type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/mpii.py'),
        datasets=[labeled, unlabeled],
        pipeline=[dict(type='PackSemiSupervisedPoseInputs')]))
custom_hooks = [*_base_.custom_hooks, dict(type='UnreadableImagesHook')]
