# MMPose's HRNet-W32 teaches the mobile hourglass; it is downloaded from MMPose's
# model zoo when the training begins
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
train_cfg = dict(max_epochs=90)
optim_wrapper = dict(optimizer=dict(type='RMSprop', lr=2.5e-4))
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=90, milestones=[60], gamma=0.1,
        by_epoch=True)]
auto_scale_lr = dict(base_batch_size=32)
train_dataloader = dict(batch_size=32)

student = dict(
    _base_.model,
    backbone=dict(
        type='PreActHourglassNet', num_stacks=2, num_blocks=1, mobile=True,
        out_channels=17),
    head=dict(
        type='CPMHead', in_channels=17, out_channels=17, num_stages=2,
        final_layer=None, loss=_base_.model.head.loss, decoder=_base_.codec))
model = dict(
    _delete_=True, type='FastPoseDistiller', teacher=_base_.model,
    teacher_checkpoint='https://download.openmmlab.com/mmpose/v1/body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192-81c58e40_20220909.pth',
    student=student, alpha=0.5)
custom_hooks = [*_base_.custom_hooks, dict(type='DistillationHook')]
