# 3D joints by the same network, from one that has learned its 2D heatmaps:
# --cfg-options load_from=work_dirs/efficientnet_lite0_mse_annypose/epoch_2.pth
_base_ = 'efficientnet_lite0_mse_annypose.py'

max_epochs = 6
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    _base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]

codec = dict(
    type='IntegralPose3DLabel', input_size=(64, 64),
    heatmap_size=(16, 16, 16), sigma=1., depth_range=(-1000., 1000.))
root_joints = (11, 12)
dataset_type = 'CocoStyle3DDataset'
model = dict(
    type='TopdownPose3DEstimator', root_joints=root_joints,
    head=dict(
        _delete_=True, type='IntegralPose3DHead', in_channels=40 + 112,
        out_channels=17, deconv_out_channels=(64, ),
        deconv_kernel_sizes=(4, ), mode='I1', depth_growth='random',
        decoder=codec),
    test_cfg=dict(_delete_=True, flip_test=True))
train_pipeline = [
    *_base_.train_pipeline[:-2], dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPose3DInputs')]
val_pipeline = [*_base_.val_pipeline[:-1], dict(type='PackPose3DInputs')]
train_dataloader = dict(
    dataset=dict(
        type=dataset_type, root_joints=root_joints, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type, root_joints=root_joints, pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='MPJPE', mode='mpjpe'), dict(type='MPJPE', mode='p-mpjpe')]
test_evaluator = val_evaluator
visualizer = dict(type='Pose3DImageVisualizer')
