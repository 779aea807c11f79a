# balanced MSE in place of weights; coordinates are from -1 to 1, so sigma is a
# twentieth of the crop's side
_base_ = 'deeppose_efficientnet_lite0_wloss_lspet.py'

model = dict(head=dict(loss=dict(_delete_=True, type='BalancedMSELoss', sigma=0.1)))
train_pipeline = [*_base_.train_pipeline[:-2], _base_.train_pipeline[-1]]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
default_hooks = dict(
    _delete_=True, checkpoint=_base_.default_hooks.checkpoint,
    logger=_base_.default_hooks.logger)
