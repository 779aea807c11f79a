# The same with 800 images without labels, 16 in each step
_base_ = 'posedual_resnet18_annypose.py'

num_labeled, num_unlabeled = 50, 800
max_epochs = 25
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
model = dict(type='PoseCons', channels_last=True)
labeled = dict(_base_.labeled, indices=num_labeled)
unlabeled = dict(_base_.unlabeled, indices=num_unlabeled)
train_dataloader = dict(
    batch_size=24, sampler=dict(batch_size=24, source_ratio=[1, 2]),
    dataset=dict(datasets=[labeled, unlabeled]))
