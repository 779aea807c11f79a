# All labels of COCO, and its unlabeled images with the boxes of a detector
_base_ = 'posedual_res18_coco1k_jointcutout.py'

train_cfg = dict(max_epochs=400)
param_scheduler = [
    dict(
        type='MultiStepLR', begin=0, end=400, milestones=[300, 350], gamma=0.1,
        by_epoch=True)]
model = dict(
    network=dict(
        backbone=dict(
            depth=50, init_cfg=dict(checkpoint='torchvision://resnet50')),
        head=dict(in_channels=2048)),
    init_cfgs=None)
labeled = dict(
    _base_.labeled, ann_file='annotations/person_keypoints_train2017.json')
unlabeled = dict(
    _base_.unlabeled, ann_file='annotations/image_info_unlabeled2017.json',
    bbox_file='data/coco/person_detection_results/COCO_unlabeled2017_detections_person_faster_rcnn.json',
    filter_cfg=None,
    data_prefix=dict(img='unlabeled2017/'))
train_dataloader = dict(dataset=dict(datasets=[labeled, unlabeled]))
