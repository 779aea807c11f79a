# All five terms, which balance themselves, from a network with fewer bins of depth
_base_ = 'integral3d_h1_d4_h36m.py'

codec = dict(heatmap_size=(64, 64, 8), depth_sigma=3 / 6)
model = dict(
    head=dict(
        mode='I1', integral_unit='normalized', threshold2d=0.003,
        depth_growth='random', decoder=codec))
# 105,214 iterations
train_dataloader = dict(batch_size=2, sampler=dict(num_samples=21_043))
