# The baseline of the semi-supervised configs: the same labels, as often
_base_ = 'efficientnet_lite0_mse_lspet.py'

num_labeled, num_people = 300, 6000
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='RepeatDataset', times=num_people // num_labeled,
        dataset=dict(
            type='CropCache', dataset=dict(
                _base_.train_dataloader.dataset.dataset, indices=num_labeled))))
