_base_ = 'hourglass_s2_mpii.py'

model = dict(backbone=dict(mobile=True))
