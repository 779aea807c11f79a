# Fast pose distillation: eight stacks teach the student. Train them first:
# python -m mmpose_wloss train configs/hourglass_s8_mpii.py
_base_ = 'hourglass_mobile_s2_mpii.py'

model = dict(
    _delete_=True, type='FastPoseDistiller',
    teacher=dict(
        _base_.model,
        backbone=dict(type='PreActHourglassNet', num_stacks=8, num_blocks=1),
        head=dict(_base_.model.head, num_stages=8)),
    teacher_checkpoint='work_dirs/hourglass_s8_mpii/epoch_90.pth',
    student=_base_.model, alpha=0.5)
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
