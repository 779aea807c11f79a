# python -m mmpose_wloss density fit configs/rtmpose-s_wloss_coco.py
_base_ = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
pose_density = dict(file='work_dirs/pose_density/coco_train2017.npz')
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='PoseDensityWeights', file=pose_density['file']),
    dict(type='PackPoseInputs')]
train_pipeline_stage2 = [
    *_base_.train_pipeline_stage2[:-1],
    dict(type='PoseDensityWeights', file=pose_density['file']),
    dict(type='PackPoseInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
default_hooks = dict(pose_density=dict(type='PoseDensityHook'))
custom_hooks = [
    _base_.custom_hooks[0],
    dict(_base_.custom_hooks[1], switch_pipeline=train_pipeline_stage2)]
