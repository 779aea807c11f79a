# From integral3d_i1_d16_h36m: terms balanced by the ratios of the original code
_base_ = 'integral3d_manual_d8_h36m.py'

codec = dict(heatmap_size=(64, 64, 16), depth_sigma=5 / 6)
model = dict(
    head=dict(
        balancer=dict(ratios=dict(heatmap3d=0.3)), heatmap2_init_std=0.002,
        decoder=codec))
# 91,665 iterations
train_dataloader = dict(sampler=dict(num_samples=18_333))
