# Stage 1 of DeepPose with rare poses weighted up, all of VGG pretrained and a split
# of our own; deeppose_vgg16_wloss_original_lsp.py has those of the original code:
# python -m mmpose_wloss density fit configs/deeppose_vgg16_wloss_lsp.py
_base_ = 'mmpose::body_2d_keypoint/topdown_regression/mpii/td-reg_res50_8xb64-210e_mpii-256x256.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
pose_density = dict(
    file='work_dirs/pose_density/lsp_train.npz', mode='source', bandwidth=0.6)
train_cfg = dict(max_epochs=1500)
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=2e-3, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(
        type='StepLR', begin=0, end=1500, step_size=150, gamma=0.8,
        by_epoch=True)]
auto_scale_lr = dict(base_batch_size=45)

codec = dict(type='CenteredRegressionLabel', input_size=(224, 224))
vgg16_bn = dict(type='Pretrained', checkpoint='mmcls://vgg16_bn')
model = dict(
    backbone=dict(
        _delete_=True, type='VGG', depth=16, norm_cfg=dict(type='BN'),
        init_cfg=vgg16_bn),
    neck=dict(type='VGGClassifierNeck', init_cfg=vgg16_bn),
    head=dict(
        type='CenteredRegressionHead', in_channels=4096, num_joints=14,
        loss=dict(type='MaskedMSELoss'), decoder=codec),
    test_cfg=dict(flip_test=False))

whole_image = [
    dict(type='LoadImage'), dict(type='GetBBoxCenterScale', padding=1.),
    dict(type='TopdownResize', input_size=codec['input_size'])]
train_pipeline = [
    *whole_image, dict(type='RandomHSV'),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PoseDensityWeights', file=pose_density['file']),
    dict(type='PackPoseInputs')]
val_pipeline = [*whole_image, dict(type='PackPoseInputs')]
lsp = dict(
    type='LSPDataset', data_root='data/lsp/',
    ann_file='lsp_dataset_original/joints.mat',
    extended_ann_file='lspet_dataset/joints.mat',
    data_prefix=dict(
        img='lsp_dataset_original/images/', extended='lspet_dataset/images/'))
train_dataloader = dict(
    batch_size=45,
    dataset=dict(lsp, _delete_=True, split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=45,
    dataset=dict(
        lsp, _delete_=True, split='test', test_mode=True,
        pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='LSPPCKAccuracy'), dict(type='PCPAccuracy'),
    dict(type='CoordinateMSE')]
test_evaluator = val_evaluator
default_hooks = dict(
    checkpoint=dict(save_best='PCK@0.2', max_keep_ckpts=3),
    pose_density=dict(type='PoseDensityHook'))
