# The student taught by the teacher, which is trained first:
# python tools/train.py configs/demo/hourglass_s4_annypose.py
_base_ = 'hourglass_mobile_s2_annypose.py'

student = _base_.model
model = dict(
    _delete_=True,
    type='FastPoseDistiller',
    teacher=dict(
        student,
        backbone=dict(
            student.backbone,
            num_stacks=4,
            num_feats=32,
            stem_channels=32,
            mobile=False),
        head=dict(student.head, num_stages=4)),
    teacher_checkpoint='work_dirs/hourglass_s4_annypose/epoch_14.pth',
    student=student,
    alpha=0.5)
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
