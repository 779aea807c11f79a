# Terms that balance themselves, from a network with fewer bins of depth
_base_ = 'integral3d_i1_d16_h36m.py'

codec = dict(heatmap_size=(64, 64, 32), depth_sigma=7 / 6)
model = dict(head=dict(decoder=codec))
# 41,624 iterations
train_dataloader = dict(sampler=dict(num_samples=8_325))
