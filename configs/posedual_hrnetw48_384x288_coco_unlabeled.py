_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w48_8xb32-210e_coco-384x288.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
batch_size = 16
train_cfg = dict(max_epochs=300)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=300, milestones=[220, 260], gamma=0.1,
        by_epoch=True)]
auto_scale_lr = dict(base_batch_size=16)

model = dict(
    _delete_=True, type='PoseDual',
    network=dict(_base_.model, test_cfg=dict(flip_test=False)),
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
unlabeled = dict(
    type='UnlabeledPoseDataset', data_root=_base_.data_root,
    ann_file='annotations/image_info_unlabeled2017.json',
    bbox_file='data/coco/person_detection_results/COCO_unlabeled2017_detections_person_faster_rcnn.json',
    data_prefix=dict(img='unlabeled2017/'), pipeline=easy_view)
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
val_dataloader = dict(dataset=dict(bbox_file=None))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True, type='NetworksEvaluator', metrics=_base_.val_evaluator)
test_evaluator = val_evaluator
custom_hooks = [
    *_base_.custom_hooks, dict(type='DualNetworkHook'),
    dict(type='UnreadableImagesHook')]
