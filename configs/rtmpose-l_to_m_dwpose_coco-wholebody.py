# DWPose, first stage: RTMPose-l of MMPose's model zoo teaches RTMPose-m, which ends as
# work_dirs/rtmpose-l_to_m_dwpose_coco-wholebody/student.pth. Its head is then taught
# anew by rtmpose-m_head_dwpose_coco-wholebody.py
_base_ = 'mmpose::wholebody_2d_keypoint/rtmpose/coco-wholebody/rtmpose-m_8xb64-270e_coco-wholebody-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
model = dict(
    _delete_=True, type='FastPoseDistiller',
    teacher='mmpose::wholebody_2d_keypoint/rtmpose/coco-wholebody/rtmpose-l_8xb64-270e_coco-wholebody-256x192.py',
    teacher_checkpoint='https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/rtmpose-l_simcc-coco-wholebody_pt-aic-coco_270e-256x192-6f206314_20230124.pth',
    student=_base_.model, alpha=0.1, teacher_decay=True,
    feature_loss=dict(
        type='FeaLoss', name='feature', use_this=True, student_channels=768,
        teacher_channels=1024, alpha_fea=7e-5))
optim_wrapper = dict(clip_grad=dict(max_norm=1., norm_type=2))
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
