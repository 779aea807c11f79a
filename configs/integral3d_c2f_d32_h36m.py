# Coarse to fine, from a network with fewer bins of depth
_base_ = 'integral3d_c2f_d16_h36m.py'

codec = dict(heatmap_size=(64, 64, 32), depth_sigma=7 / 6)
model = dict(head=dict(heatmap2_init_std=0.001, decoder=codec))
# 80,000 iterations
train_dataloader = dict(sampler=dict(num_samples=24_000))
