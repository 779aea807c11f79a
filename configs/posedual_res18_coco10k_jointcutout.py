_base_ = 'posedual_res18_coco10k.py'

model = dict(hard_views=[dict(type='JointCutout'), dict(type='HardAffine')])
