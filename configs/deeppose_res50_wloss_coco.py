# python -m mmpose_wloss density fit configs/deeppose_res50_wloss_coco.py
_base_ = 'mmpose::body_2d_keypoint/topdown_regression/coco/td-reg_res50_8xb64-210e_coco-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
pose_density = dict(file='work_dirs/pose_density/coco_train2017.npz')
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='PoseDensityWeights', file=pose_density['file']),
    dict(type='PackPoseInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
default_hooks = dict(pose_density=dict(type='PoseDensityHook'))
# SmoothL1Loss alone would weigh neither linearly nor quadratically
model = dict(
    head=dict(
        loss=dict(
            _delete_=True, type='InstanceWeightedLoss',
            loss=_base_.model.head.loss)))
