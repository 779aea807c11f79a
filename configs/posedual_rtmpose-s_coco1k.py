_base_ = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)

train_cfg = dict(max_epochs=70, val_interval=10)
param_scheduler = [
    dict(
        type='LinearLR', begin=0, end=1000, start_factor=1e-5, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=35,
        end=70,
        T_max=35,
        eta_min_ratio=0.05,
        by_epoch=True,
        convert_to_iter_based=True)
]
optim_wrapper = dict(optimizer=dict(lr=5e-4))
auto_scale_lr = dict(base_batch_size=64)

model = dict(
    _delete_=True,
    type='PoseDual',
    network=_base_.model,
    hard_views=[dict(type='JointCutout'), dict(type='HardAffine')])

# the stock pipeline, but for Albumentation, whose package MMPose can do without
load_and_move = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(
        type='RandomBBoxTransform',
        scale_factor=[0.6, 1.4],
        rotate_factor=80.),
    dict(type='TopdownAffine', input_size=_base_.codec.input_size),
    dict(type='mmdet.YOLOXHSVRandomAug')
]
labeled = dict(
    _base_.train_dataloader.dataset,
    ann_file='annotations/person_keypoints_train2017_first1000.json',
    pipeline=[
        *load_and_move[:3],
        dict(type='RandomHalfBody'), *load_and_move[3:],
        dict(type='GenerateTarget', encoder=_base_.codec)
    ])
unlabeled = dict(
    type='UnlabeledPoseDataset',
    data_root=_base_.data_root,
    ann_file='annotations/person_keypoints_train2017_first1000_rest.json',
    data_prefix=dict(img='train2017/'),
    pipeline=load_and_move)
train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    sampler=dict(
        _delete_=True,
        type='EpochMultiSourceSampler',
        batch_size=64,
        source_ratio=[1, 1]),
    dataset=dict(
        _delete_=True,
        type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        datasets=[labeled, unlabeled],
        pipeline=[dict(type='PackSemiSupervisedPoseInputs')]))

val_evaluator = dict(
    _delete_=True, type='NetworksEvaluator', metrics=_base_.val_evaluator)
test_evaluator = val_evaluator
# the stock hooks average the weights, and change the pipeline at the end
custom_hooks = [dict(type='DualNetworkHook')]
