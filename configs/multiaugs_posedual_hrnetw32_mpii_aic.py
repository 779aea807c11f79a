_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/mpii/td-hm_hrnet-w32_8xb64-210e_mpii-256x256.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
batch_size = 32
train_cfg = dict(max_epochs=300)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=300, milestones=[220, 260], gamma=0.1,
        by_epoch=True)]
auto_scale_lr = dict(base_batch_size=32)

codec = dict(
    type='MSRAHeatmap', input_size=(256, 256), heatmap_size=(64, 64), sigma=3)
affine = dict(type='HardAffine', shared=True)
model = dict(
    _delete_=True, type='PoseDual',
    network=dict(
        _base_.model, head=dict(_base_.model.head, decoder=codec),
        test_cfg=dict(flip_test=False)),
    hard_views=[
        [dict(type='JointCutOcclude'), dict(type='Cutout'), affine],
        [dict(type='JointCutout'), dict(type='CutMix', num_patches=5), affine]])
easy_view = [
    *_base_.train_pipeline[:3],
    dict(
        type='ClippedBBoxTransform', shift_prob=0., scale_factor=(0.75, 1.25),
        rotate_factor=60.),
    dict(type='TopdownAffine', input_size=codec['input_size'])]
labeled = dict(
    _base_.train_dataloader.dataset,
    pipeline=[*easy_view, dict(type='GenerateTarget', encoder=codec)])
unlabeled = dict(
    type='UnlabeledPoseDataset',
    metainfo=dict(from_file='configs/_base_/datasets/mpii.py'),
    data_root='data/aic/', ann_file='annotations/aic_train.json',
    data_prefix=dict(img='ai_challenger_keypoint_train_20170902/'
                     'keypoint_train_images_20170902/'),
    pipeline=easy_view)
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(
        _delete_=True, type='EpochMultiSourceSampler', batch_size=batch_size,
        source_ratio=[1, 1]),
    dataset=dict(
        _delete_=True, type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/mpii.py'),
        datasets=[labeled, unlabeled],
        pipeline=[dict(type='PackSemiSupervisedPoseInputs')]))
val_evaluator = dict(
    _delete_=True, type='NetworksEvaluator', metrics=_base_.val_evaluator)
test_evaluator = val_evaluator
custom_hooks = [
    *_base_.custom_hooks, dict(type='DualNetworkHook'),
    dict(type='UnreadableImagesHook')]
