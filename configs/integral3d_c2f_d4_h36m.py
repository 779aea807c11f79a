# Coarse to fine, from a network with fewer bins of depth
_base_ = 'integral3d_c2f_d2_h36m.py'

codec = dict(heatmap_size=(64, 64, 4))
model = dict(head=dict(decoder=codec))
