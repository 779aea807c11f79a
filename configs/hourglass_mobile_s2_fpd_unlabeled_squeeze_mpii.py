# As the original code shows images without labels: the whole image, squeezed into
# a square, with its flips and colors, but neither turned nor scaled
_base_ = 'hourglass_mobile_s2_fpd_unlabeled_mpii.py'

squeezed = dict(
    _base_.unlabeled, pipeline=[
        *_base_.unlabeled.pipeline[:2],
        dict(type='RandomFlip', direction='horizontal'),
        dict(type='TopdownResize', input_size=_base_.codec.input_size),
        dict(type='RandomChannelGain', gain=(0.8, 1.2))])
train_dataloader = dict(dataset=dict(datasets=[_base_.labeled, squeezed]))
