# Terms that balance themselves, from a network with fewer bins of depth
_base_ = 'integral3d_i1_d16_h36m.py'

codec = dict(heatmap_size=(64, 64, 64), depth_sigma=13 / 6)
model = dict(head=dict(decoder=codec))
# 32,944 iterations
train_dataloader = dict(sampler=dict(num_samples=6_589))
