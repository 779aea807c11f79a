# All five terms, which balance themselves, from a network with fewer bins of depth
_base_ = 'integral3d_i1_d16_h36m.py'

codec = dict(heatmap_size=(64, 64, 64))
model = dict(head=dict(decoder=codec))
