# Heatmaps and a volume of 2 bins of depth, by fixed ratios: the first stage of
# coarse to fine. Stages up to 16 bins share 560,000 iterations; how is not known
_base_ = 'integral3d_h1_d4_h36m.py'

codec = dict(heatmap_size=(64, 64, 2))
model = dict(
    head=dict(
        mode='manual', depth_growth='random', decoder=codec,
        balancer=dict(
            type='ManualBalancer', loss_weight=0.5,
            ratios=dict(heatmap2d=1., heatmap3d=0.3))))
# 140,000 iterations
train_dataloader = dict(sampler=dict(num_samples=42_000))
