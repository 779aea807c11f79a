# With photos of another domain beside: those of Clothing Co-Parsing, a folder
_base_ = 'posedual_efficientnet_lite0_lspet.py'

batch_size = 40
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(batch_size=batch_size, source_ratio=[2, 2, 1]),
    dataset=dict(datasets=[
        _base_.labeled, _base_.unlabeled,
        dict(
            type='UnlabeledPoseDataset', cache='disk', metainfo=_base_.metainfo,
            data_prefix=dict(img='data/ccp/images/'),
            pipeline=_base_.unlabeled.pipeline)]))
