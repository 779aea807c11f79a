# The baseline of the semi-supervised configs: the same labels, as often
_base_ = 'resnet18_mse_annypose.py'

num_labeled, num_unlabeled = 100, 1200
max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', begin=0, end=50, start_factor=0.01, by_epoch=False),
    dict(
        type='CosineAnnealingLR',
        begin=0,
        end=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True)
]
train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=num_unlabeled // num_labeled,
        dataset=dict(_base_.train_dataloader.dataset, indices=num_labeled)))
