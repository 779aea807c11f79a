# Fast pose distillation: the student is taught by eight stacks, which are
# trained first: python tools/train.py configs/hourglass_s8_mpii.py
_base_ = 'hourglass_mobile_s2_mpii.py'

student = _base_.model
model = dict(
    _delete_=True,
    type='FastPoseDistiller',
    teacher=dict(
        student,
        backbone=dict(student.backbone, num_stacks=8, mobile=False),
        head=dict(student.head, num_stages=8)),
    teacher_checkpoint='work_dirs/hourglass_s8_mpii/epoch_90.pth',
    student=student,
    alpha=0.5)
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
