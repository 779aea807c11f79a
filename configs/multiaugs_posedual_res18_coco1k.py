_base_ = 'posedual_res18_coco1k.py'

affine = dict(type='HardAffine', shared=True)
# with two networks, the original code pastes as many patches as it cuts holes
model = dict(hard_views=[
    [dict(type='JointCutOcclude'), dict(type='Cutout'), affine],
    [dict(type='JointCutout'), dict(type='CutMix', num_patches=5), affine],
    [dict(type='JointCutout'), affine],
    [dict(type='JointCutOcclude'), affine]])
