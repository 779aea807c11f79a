# python -m mmpose_wloss density fit configs/hrnet_drawn_coco.py
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
pose_density = dict(file='work_dirs/pose_density/coco_train2017.npz')
train_dataloader = dict(sampler=dict(
    _delete_=True, type='PoseDensitySampler', file=pose_density['file']))
