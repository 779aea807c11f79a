# Tests as the demo of the original code does: on the whole image, squeezed into
# a square. It trains on crops, so the checkpoints of hourglass_mobile_s2_mpii fit
_base_ = 'hourglass_mobile_s2_mpii.py'

val_pipeline = [
    dict(type='LoadImage'), dict(type='WholeImageBox'),
    dict(type='TopdownResize', input_size=_base_.codec.input_size),
    dict(type='PackPoseInputs')]
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
# the network finds one person, so images of one person are told apart
val_evaluator = dict(
    _delete_=True, type='PeopleSplitMetric',
    metric=dict(type='MpiiMeanPCKAccuracy'))
test_evaluator = val_evaluator
