_base_ = 'posedual_res50_coco_unlabeled.py'

model = dict(network=dict(backbone=dict(
    depth=101, init_cfg=dict(checkpoint='torchvision://resnet101'))))
