# DWPose, second stage: a new head learns from the student of
# mobilenetv2_dwpose_lspet.py, whose backbone it stands on
_base_ = 'mobilenetv2_lspet.py'

first = 'work_dirs/mobilenetv2_dwpose_lspet/student.pth'
model = dict(
    _delete_=True, type='FastPoseDistiller', teacher=_base_.model,
    teacher_checkpoint=first,
    student=dict(_base_.model, backbone=dict(_base_.model.backbone, init_cfg=dict(
        type='Pretrained', prefix='backbone.', checkpoint=first))),
    alpha=1., frozen=['backbone'])
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
