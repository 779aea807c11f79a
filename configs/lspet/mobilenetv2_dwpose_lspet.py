# DWPose, first stage: the pretrained network teaches features and outputs, less and
# less. Train that first:
# python -m mmpose_wloss train configs/lspet/efficientnet_lite0_sigma2_lspet.py
_base_ = 'mobilenetv2_lspet.py'

model = dict(
    _delete_=True, type='FastPoseDistiller', teacher=_base_.teacher,
    teacher_checkpoint='work_dirs/efficientnet_lite0_sigma2_lspet/epoch_8.pth',
    student=_base_.model, alpha=0.5, teacher_decay=True,
    feature_loss=dict(
        type='FeaLoss', name='feature', use_this=True, student_channels=64,
        teacher_channels=152, alpha_fea=1e-6))
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
