# The student taught by the teacher, which is trained first:
# python tools/train.py configs/demo/hourglass_s4_annypose.py
_base_ = 'hourglass_mobile_s2_annypose.py'

model = dict(
    _delete_=True,
    type='FastPoseDistiller',
    teacher='configs/demo/hourglass_s4_annypose.py',
    teacher_checkpoint='work_dirs/hourglass_s4_annypose/epoch_20.pth',
    student=_base_.model,
    alpha=0.5)
custom_hooks = [dict(type='DistillationHook')]
