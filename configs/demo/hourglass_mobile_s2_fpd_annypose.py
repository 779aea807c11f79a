# The student taught by the teacher. Train that first:
# python -m mmpose_wloss train configs/demo/hourglass_s4_annypose.py
_base_ = 'hourglass_mobile_s2_annypose.py'

model = dict(
    _delete_=True, type='FastPoseDistiller',
    teacher=dict(
        _base_.model,
        backbone=dict(
            _base_.model.backbone, num_stacks=4, num_feats=32,
            stem_channels=32, mobile=False),
        head=dict(_base_.model.head, num_stages=4)),
    teacher_checkpoint='work_dirs/hourglass_s4_annypose/epoch_14.pth',
    student=_base_.model, alpha=0.5)
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
