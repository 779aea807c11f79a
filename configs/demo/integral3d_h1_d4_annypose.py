# 4 bins of depth, learned by heatmaps and volume alone: the first step of
# growing depth
_base_ = 'integral3d_i1_d16_annypose.py'

model = dict(head=dict(mode='H1', decoder=dict(heatmap_size=(32, 32, 4))))
