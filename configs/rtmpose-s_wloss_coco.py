_base_ = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)

# written by: python tools/pose_density.py fit configs/rtmpose-s_wloss_coco.py
pose_density = dict(file='work_dirs/pose_density/coco_train2017.npz')
weights = dict(type='PoseDensityWeights', file=pose_density['file'])
train_pipeline = [
    *_base_.train_pipeline[:-1], weights, _base_.train_pipeline[-1]
]
train_pipeline_stage2 = [
    *_base_.train_pipeline_stage2[:-1], weights,
    _base_.train_pipeline_stage2[-1]
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = [
    dict(hook, switch_pipeline=train_pipeline_stage2)
    if 'switch_pipeline' in hook else hook for hook in _base_.custom_hooks
]
default_hooks = dict(pose_density=dict(type='PoseDensityHook'))
