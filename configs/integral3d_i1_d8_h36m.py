# All five terms, which balance themselves, from a network with fewer bins of depth
_base_ = 'integral3d_h1_d4_h36m.py'

codec = dict(heatmap_size=(64, 64, 8))
model = dict(head=dict(mode='I1', depth_growth='random', decoder=codec))
