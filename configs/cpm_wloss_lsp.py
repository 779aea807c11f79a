# Convolutional pose machine with rare poses weighted up:
# python -m mmpose_wloss density fit configs/cpm_wloss_lsp.py
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/mpii/td-hm_cpm_8xb64-210e_mpii-368x368.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
pose_density = dict(file='work_dirs/pose_density/lsp_train_box.npz')
model = dict(
    backbone=dict(out_channels=14),
    head=dict(in_channels=14, out_channels=14))
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='PoseDensityWeights', file=pose_density['file']),
    dict(type='PackPoseInputs')]
lsp = dict(
    type='LSPDataset', data_root='data/lsp/',
    ann_file='lsp_dataset_original/joints.mat',
    extended_ann_file='lspet_dataset/joints.mat',
    data_prefix=dict(
        img='lsp_dataset_original/images/', extended='lspet_dataset/images/'),
    bbox='joints')
train_dataloader = dict(
    dataset=dict(lsp, _delete_=True, split='train', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        lsp, _delete_=True, split='test', test_mode=True,
        pipeline=_base_.val_pipeline))
test_dataloader = val_dataloader
val_evaluator = [dict(type='LSPPCKAccuracy'), dict(type='PCPAccuracy')]
test_evaluator = val_evaluator
default_hooks = dict(
    checkpoint=dict(save_best='PCK@0.2'),
    pose_density=dict(type='PoseDensityHook'))
