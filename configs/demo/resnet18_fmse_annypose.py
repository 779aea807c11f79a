_base_ = 'resnet18_mse_annypose.py'

model = dict(head=dict(loss=dict(type='FocusMSELoss', gamma=1., delta=1.)))
