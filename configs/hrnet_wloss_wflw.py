# python -m mmpose_wloss density fit configs/hrnet_wloss_wflw.py
_base_ = 'mmpose::face_2d_keypoint/topdown_heatmap/wflw/td-hm_hrnetv2-w18_8xb64-60e_wflw-256x256.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
pose_density = dict(file='work_dirs/pose_density/wflw_train.npz')
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='PoseDensityWeights', file=pose_density['file']),
    dict(type='PackPoseInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
default_hooks = dict(pose_density=dict(type='PoseDensityHook'))
