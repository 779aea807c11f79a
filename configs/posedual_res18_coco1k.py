_base_ = 'posecons_res18_coco1k.py'

# of the two networks, the first begins as torchvision trained it, the second as
# GluonCV did: both on ImageNet
model = dict(
    type='PoseDual',
    init_cfgs=dict(second=dict(
        type='Pretrained',
        checkpoint='https://github.com/rwightman/pytorch-pretrained-gluonresnet/'
        'releases/download/v0.1/gluon_resnet18_v1b-0757602b.pth')))
