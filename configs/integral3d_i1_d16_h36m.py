# All five terms, which balance themselves, from a network with fewer bins of depth
_base_ = 'integral3d_i1_d8_h36m.py'

codec = dict(heatmap_size=(64, 64, 16))
model = dict(head=dict(heatmap2_init_std=0.002, decoder=codec))
