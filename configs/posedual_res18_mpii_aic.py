# MPII's labels, and AI Challenger's images with its boxes
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/mpii/td-hm_res50_8xb64-210e_mpii-256x256.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
batch_size = 64
train_cfg = dict(max_epochs=100)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=100, milestones=[50, 70], gamma=0.1,
        by_epoch=True)]
auto_scale_lr = dict(base_batch_size=64)

network = dict(
    _base_.model,
    backbone=dict(
        type='ResNet', depth=18,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')),
    head=dict(_base_.model.head, in_channels=512),
    test_cfg=dict(flip_test=False))
model = dict(
    _delete_=True, type='PoseDual', network=network,
    hard_views=[dict(type='JointCutout'), dict(type='HardAffine')])
easy_view = [
    *_base_.train_pipeline[:3],
    dict(
        type='ClippedBBoxTransform', shift_prob=0., scale_factor=(0.75, 1.25),
        rotate_factor=60.),
    dict(type='TopdownAffine', input_size=_base_.codec.input_size)]
labeled = dict(
    _base_.train_dataloader.dataset,
    pipeline=[*easy_view, dict(type='GenerateTarget', encoder=_base_.codec)])
# with MPII's joints, all of which are taught: a teacher predicts pelvis and thorax,
# too, which AI Challenger's labels lack
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
