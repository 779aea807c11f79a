_base_ = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
batch_size = 64
train_cfg = dict(max_epochs=70)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type='LinearLR', begin=0, end=1000, start_factor=1e-5, by_epoch=False),
    dict(
        type='CosineAnnealingLR', begin=35, end=70, T_max=35,
        eta_min_ratio=0.05, by_epoch=True, convert_to_iter_based=True)]
auto_scale_lr = dict(base_batch_size=64)

model = dict(
    _delete_=True, type='PoseDual', network=_base_.model,
    hard_views=[dict(type='JointCutout'), dict(type='HardAffine')])
# the stock pipeline without Albumentation, whose package MMPose can do without
labeled = dict(
    _base_.train_dataloader.dataset,
    ann_file='annotations/person_keypoints_train2017_first1000.json',
    pipeline=[*_base_.train_pipeline[:7], _base_.train_pipeline[-2]])
unlabeled = dict(
    type='UnlabeledPoseDataset', data_root=_base_.data_root,
    ann_file='annotations/person_keypoints_train2017.json',
    filter_cfg=dict(num_keypoints_thr=1),
    data_prefix=dict(img='train2017/'),
    pipeline=[*_base_.train_pipeline[:3], *_base_.train_pipeline[4:7]])
train_dataloader = dict(
    batch_size=batch_size, num_workers=2,
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
# the stock hooks average the weights, and change the pipeline at the end
custom_hooks = [
    dict(type='DualNetworkHook'), dict(type='UnreadableImagesHook')]
