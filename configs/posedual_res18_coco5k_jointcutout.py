_base_ = 'posedual_res18_coco5k.py'

model = dict(hard_views=[dict(type='JointCutout'), dict(type='HardAffine')])
