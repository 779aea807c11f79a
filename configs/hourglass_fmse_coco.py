_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hourglass52_8xb32-210e_coco-256x256.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
# MMPose's hourglass has a block that the last stack does not use
find_unused_parameters = True

# gamma and delta are ours (docs/heatmap_losses.md): the paper's text names none
model = dict(head=dict(loss=dict(type='FocusMSELoss', gamma=1., delta=1.)))
