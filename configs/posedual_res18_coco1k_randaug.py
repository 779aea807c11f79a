_base_ = 'posedual_res18_coco1k_jointcutout.py'

model = dict(hard_views=[
    dict(type='RandAugment', magnitude=20), dict(type='HardAffine')])
