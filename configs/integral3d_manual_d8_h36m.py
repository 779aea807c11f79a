# From integral3d_i1_d8_h36m: terms balanced by the ratios of the original code
_base_ = 'integral3d_i1_d8_h36m.py'

optim_wrapper = dict(optimizer=dict(lr=5e-6))
# its loss is half of the square, as Caffe's Euclidean loss; joint2d_from_heatmap
# weighs 0
model = dict(
    head=dict(
        mode='manual', depth_growth=None,
        balancer=dict(
            type='ManualBalancer', loss_weight=0.5,
            ratios=dict(
                heatmap2d=1., heatmap3d=0.1, joint2d_from_volume=1.,
                depth_from_volume=1.))))
# 84,686 iterations
train_dataloader = dict(sampler=dict(num_samples=16_937))
