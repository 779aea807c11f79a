_base_ = 'mmpose::body_2d_keypoint/dekr/coco/dekr_hrnet-w32_8xb10-140e_coco-512x512.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
model = dict(
    head=dict(
        _delete_=True, type='BalancedHead', head=_base_.model.head,
        terms=['loss/heatmap', 'loss/displacement'],
        balancer=dict(type='UncertaintyBalancer', log_variance='first_batch')))
