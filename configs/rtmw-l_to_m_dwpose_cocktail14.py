# RTMW-l of MMPose's model zoo teaches RTMW-m on the stock recipe's 14 data sets
_base_ = 'mmpose::wholebody_2d_keypoint/rtmpose/cocktail14/rtmw-m_8xb1024-270e_cocktail14-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
model = dict(
    _delete_=True, type='FastPoseDistiller',
    teacher='mmpose::wholebody_2d_keypoint/rtmpose/cocktail14/rtmw-l_8xb1024-270e_cocktail14-256x192.py',
    teacher_checkpoint='https://download.openmmlab.com/mmpose/v1/projects/rtmw/rtmw-dw-x-l_simcc-cocktail14_270e-256x192-20231122.pth',
    student=_base_.model, alpha=0.1, teacher_decay=True,
    feature_loss=dict(
        type='FeaLoss', name='feature', use_this=True, student_channels=768,
        teacher_channels=1024, alpha_fea=7e-5))
optim_wrapper = dict(clip_grad=dict(max_norm=1., norm_type=2))
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
