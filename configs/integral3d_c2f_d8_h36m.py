# Coarse to fine, from a network with fewer bins of depth
_base_ = 'integral3d_c2f_d2_h36m.py'

codec = dict(heatmap_size=(64, 64, 8), depth_sigma=3 / 6)
model = dict(
    head=dict(balancer=dict(ratios=dict(heatmap3d=0.1)), decoder=codec))
