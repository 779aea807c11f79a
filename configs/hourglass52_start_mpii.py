# The hourglass that the curricula of docs/human36m.md start from, on MPII
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/mpii/td-hm_hourglass52_8xb64-210e_mpii-256x256.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
# MMPose's hourglass has a block that the last stack does not use
find_unused_parameters = True
model = dict(
    data_preprocessor=dict(
        mean=[128.] * 3, std=[256.] * 3, bgr_to_rgb=False))
