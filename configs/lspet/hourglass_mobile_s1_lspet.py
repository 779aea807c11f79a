# A student of the pretrained network: one mobile stack from random weights
_base_ = 'efficientnet_lite0_sigma2_lspet.py'

# of the fpd configs
teacher = _base_.model
optim_wrapper = dict(optimizer=dict(lr=5e-3))
model = dict(
    _delete_=True, type='TopdownPoseEstimator',
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=dict(
        type='PreActHourglassNet', num_stacks=1, num_blocks=1, num_feats=32,
        stem_channels=8, mobile=True, out_channels=14, downsample_times=3),
    head=dict(
        type='CPMHead', in_channels=14, out_channels=14, num_stages=1,
        final_layer=None, loss=_base_.model.head.loss, decoder=_base_.codec),
    test_cfg=dict(flip_test=False))
# random weights need steps more than large ones. Fewer labels than all are
# repeated, so that an epoch stays as long
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        _delete_=True, type='RepeatDataset', times=1,
        dataset=_base_.train_dataloader.dataset))
