_base_ = 'posecons_res18_coco1k.py'

model = dict(hard_views=[
    [dict(type='JointCutOcclude'), dict(type='Cutout'), dict(type='HardAffine')],
    [dict(type='JointCutout'), dict(type='CutMix'), dict(type='HardAffine')],
    [dict(type='JointCutout'), dict(type='HardAffine')],
    [dict(type='JointCutOcclude'), dict(type='HardAffine')]])
