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
load_and_move = [
    *_base_.train_pipeline[:3],
    dict(
        type='RandomBBoxTransform', shift_prob=0., scale_factor=(0.75, 1.25),
        rotate_factor=60.)]
affine = dict(type='TopdownAffine', input_size=_base_.codec.input_size)
labeled = dict(
    _base_.train_dataloader.dataset,
    pipeline=[
        *load_and_move, affine,
        dict(type='GenerateTarget', encoder=_base_.codec)])
# MPII's pelvis and thorax, which AI Challenger lacks, are not taught
unlabeled = dict(
    type='UnlabeledPoseDataset',
    metainfo=dict(from_file='configs/_base_/datasets/aic.py'),
    data_root='data/aic/', ann_file='annotations/aic_train.json',
    data_prefix=dict(img='ai_challenger_keypoint_train_20170902/'
                     'keypoint_train_images_20170902/'),
    pipeline=[
        *load_and_move,
        dict(
            type='KeypointConverter', num_keypoints=16,
            mapping=[
                (0, 12), (1, 11), (2, 10), (3, 13), (4, 14), (5, 15), (6, 2),
                (7, 1), (8, 0), (9, 3), (10, 4), (11, 5), (12, 9), (13, 8)]),
        affine])
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
