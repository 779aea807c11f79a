# Coarse to fine, from a network with fewer bins of depth
_base_ = 'integral3d_c2f_d16_h36m.py'

codec = dict(heatmap_size=(64, 64, 64), depth_sigma=13 / 6)
model = dict(head=dict(heatmap2_init_std=0.0003, decoder=codec))
param_scheduler = [
    dict(type='MultiStepLR', milestones=[10_000], gamma=0.2, by_epoch=False)]
# 80,929 iterations
train_dataloader = dict(batch_size=2, sampler=dict(num_samples=16_186))
