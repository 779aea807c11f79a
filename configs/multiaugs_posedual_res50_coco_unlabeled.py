_base_ = 'posedual_res50_coco_unlabeled.py'

affine = dict(type='HardAffine', shared=True)
model = dict(hard_views=[
    [dict(type='JointCutOcclude'), dict(type='Cutout'), affine],
    [dict(type='JointCutout'), dict(type='CutMix', num_patches=5), affine]])
