# 50 labeled people, for minutes on two cores
_base_ = 'supervised_resnet18_annypose.py'

num_labeled, num_people, labels_a_step = 50, 800, 8
max_epochs = 25
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
train_dataloader = dict(
    batch_size=labels_a_step, dataset=dict(
        times=num_people // (2 * num_labeled), dataset=dict(indices=num_labeled)))
