# 50 labeled people
_base_ = 'supervised_resnet18_annypose.py'

num_labeled, num_people = 50, 800
max_epochs = 30
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
train_dataloader = dict(dataset=dict(
    times=num_people // num_labeled, dataset=dict(indices=num_labeled)))
