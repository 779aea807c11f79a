_base_ = 'posecons_res18_coco1k.py'

affine = dict(type='HardAffine', shared=True)
model = dict(hard_views=[
    [dict(type='JointCutOcclude'), dict(type='Cutout'), affine],
    [dict(type='JointCutout'), dict(type='CutMix'), affine],
    [dict(type='JointCutout'), affine],
    [dict(type='JointCutOcclude'), affine]])
