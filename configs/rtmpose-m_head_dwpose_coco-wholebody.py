# DWPose, second stage: a new head learns from the student of
# rtmpose-l_to_m_dwpose_coco-wholebody.py, whose backbone it stands on
_base_ = 'mmpose::wholebody_2d_keypoint/rtmpose/coco-wholebody/rtmpose-m_8xb64-270e_coco-wholebody-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
first = 'work_dirs/rtmpose-l_to_m_dwpose_coco-wholebody/student.pth'
model = dict(
    _delete_=True, type='FastPoseDistiller', teacher=_base_.model,
    teacher_checkpoint=first,
    student=dict(_base_.model, backbone=dict(_base_.model.backbone, init_cfg=dict(
        type='Pretrained', prefix='backbone.', checkpoint=first))),
    alpha=1., frozen=['backbone'])
train_cfg = dict(max_epochs=60)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-5, by_epoch=False, begin=0, end=1000),
    dict(
        type='CosineAnnealingLR', eta_min=2e-4, begin=30, end=60, T_max=30,
        by_epoch=True, convert_to_iter_based=True)]
optim_wrapper = dict(clip_grad=dict(max_norm=1., norm_type=2))
# the stock weaker augmentation is that of the last 30 epochs, too
custom_hooks = [
    _base_.custom_hooks[0], dict(_base_.custom_hooks[1], switch_epoch=30),
    dict(type='DistillationHook')]
