# 8 bins of depth, from a network with 4
_base_ = 'integral3d_i1_d16_annypose.py'

model = dict(head=dict(decoder=dict(heatmap_size=(32, 32, 8))))
