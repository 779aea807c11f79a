# Coarse to fine, from a network with fewer bins of depth
_base_ = 'integral3d_c2f_d2_h36m.py'

codec = dict(heatmap_size=(64, 64, 16), depth_sigma=5 / 6)
model = dict(
    head=dict(balancer=dict(ratios=dict(heatmap3d=0.03)), decoder=codec))
