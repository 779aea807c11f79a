# The same beside 800 images without labels
_base_ = 'posedual_resnet18_annypose.py'

num_labeled, num_unlabeled = 50, 800
max_epochs = 30
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
model = dict(type='PoseCons', channels_last=True)
train_dataloader = dict(dataset=dict(datasets=[
    dict(_base_.labeled, indices=num_labeled),
    dict(_base_.unlabeled, indices=num_unlabeled)]))
