# The baseline of the semi-supervised recipes. Their annotation files are written by
# python -m mmpose_wloss subset data/coco/annotations/person_keypoints_train2017.json --count 1000
_base_ = 'mmpose::body_2d_keypoint/topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192.py'

custom_imports = dict(imports=['mmpose_wloss'], allow_failed_imports=False)
model = dict(
    backbone=dict(
        depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')),
    head=dict(in_channels=512), test_cfg=dict(flip_test=False))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(base_batch_size=32)

train_pipeline = [
    *_base_.train_pipeline[:3],
    dict(
        type='ClippedBBoxTransform', shift_prob=0., scale_factor=(0.75, 1.25),
        rotate_factor=60.),
    *_base_.train_pipeline[-3:]]
train_dataloader = dict(
    batch_size=32,
    dataset=dict(
        ann_file='annotations/person_keypoints_train2017_first1000.json',
        pipeline=train_pipeline))
# ground-truth boxes
val_dataloader = dict(dataset=dict(bbox_file=None))
test_dataloader = val_dataloader
