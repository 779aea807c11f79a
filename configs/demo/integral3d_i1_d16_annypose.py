# 3D joints of the embedded data set, by heatmaps, a volume of 16 bins of depth
# and their integrals
_base_ = 'resnet18_mse_annypose.py'

codec = dict(
    type='IntegralPose3DLabel', input_size=(64, 64),
    heatmap_size=(32, 32, 16), sigma=1.5, depth_range=(-1000., 1000.))
root_joints = (11, 12)
dataset_type = 'CocoStyle3DDataset'
model = dict(
    type='TopdownPose3DEstimator', root_joints=root_joints,
    head=dict(
        _delete_=True, type='IntegralPose3DHead', in_channels=192,
        out_channels=17, deconv_out_channels=(48, 48, 48, 48),
        deconv_kernel_sizes=(4, 4, 4, 4), mode='I1', depth_growth='random',
        decoder=codec),
    test_cfg=dict(_delete_=True, flip_test=True))
train_pipeline = [
    *_base_.train_pipeline[:-2], dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPose3DInputs')]
val_pipeline = [*_base_.val_pipeline[:-1], dict(type='PackPose3DInputs')]
train_dataloader = dict(
    dataset=dict(
        type=dataset_type, root_joints=root_joints,
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type, root_joints=root_joints,
        pipeline=val_pipeline))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='MPJPE', mode='mpjpe'), dict(type='MPJPE', mode='p-mpjpe')]
test_evaluator = val_evaluator
visualizer = dict(type='Pose3DImageVisualizer')
