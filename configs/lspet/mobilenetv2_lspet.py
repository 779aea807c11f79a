# A student of the pretrained network that has feature maps: half a MobileNetV2 from
# random weights
_base_ = 'efficientnet_lite0_sigma2_lspet.py'

# of the dwpose config
teacher = _base_.model
optim_wrapper = dict(optimizer=dict(lr=5e-3))
model = dict(
    backbone=dict(model_name='mobilenetv2_050', init_cfg=None),
    head=dict(in_channels=16 + 48))
train_dataloader = dict(batch_size=8)
