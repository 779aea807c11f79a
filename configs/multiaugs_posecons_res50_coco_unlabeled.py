_base_ = 'posedual_res50_coco_unlabeled.py'

batch_size = 128
affine = dict(type='HardAffine', shared=True)
model = dict(
    type='PoseCons',
    hard_views=[
        [dict(type='JointCutOcclude'), dict(type='Cutout'), affine],
        [dict(type='JointCutout'), dict(type='CutMix'), affine]])
train_dataloader = dict(
    batch_size=batch_size, sampler=dict(batch_size=batch_size))
auto_scale_lr = dict(base_batch_size=batch_size)
