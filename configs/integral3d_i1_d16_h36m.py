# Terms that balance themselves, from a network with fewer bins of depth. The
# original code has left out the last one; terms=None learns all five
_base_ = 'integral3d_i1_d8_h36m.py'

codec = dict(heatmap_size=(64, 64, 16), depth_sigma=5 / 6)
model = dict(
    head=dict(
        terms=['heatmap2d', 'heatmap3d', 'joint2d_from_volume',
               'depth_from_volume'],
        heatmap2_init_std=0.002, decoder=codec))
# 84,224 iterations
train_dataloader = dict(sampler=dict(num_samples=16_845))
