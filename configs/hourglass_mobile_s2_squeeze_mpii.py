# tests as the source's demo does: on the whole image, squeezed into a square.
# Trained on crops as there, so the checkpoints of hourglass_mobile_s2_mpii fit
_base_ = 'hourglass_mobile_s2_mpii.py'

val_pipeline = [
    dict(type='LoadImage'),
    dict(type='WholeImageBox'),
    dict(type='TopdownResize', input_size=_base_.codec.input_size),
    dict(type='PackPoseInputs')
]
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
# the network finds one person, so those of one are told apart
val_evaluator = dict(
    _delete_=True,
    type='PeopleSplitMetric',
    metric=dict(type='MpiiPCKAccuracy'))
test_evaluator = val_evaluator
