# The baseline of the semi-supervised configs: the same labels, as often
_base_ = 'resnet18_mse_annypose.py'

num_labeled, num_unlabeled = 100, 1200
max_epochs = 10
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        _delete_=True, type='RepeatDataset',
        times=num_unlabeled // num_labeled,
        dataset=dict(_base_.train_dataloader.dataset, indices=num_labeled)))
