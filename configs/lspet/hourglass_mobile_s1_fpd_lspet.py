# The student taught by the pretrained network. Train that first:
# python -m mmpose_wloss train configs/lspet/efficientnet_lite0_sigma2_lspet.py
_base_ = 'hourglass_mobile_s1_lspet.py'

model = dict(
    _delete_=True, type='FastPoseDistiller', teacher=_base_.teacher,
    teacher_checkpoint='work_dirs/efficientnet_lite0_sigma2_lspet/epoch_8.pth',
    student=_base_.model, alpha=0.5)
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
