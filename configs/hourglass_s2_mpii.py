_base_ = 'hourglass_s8_mpii.py'

model = dict(backbone=dict(num_stacks=2), head=dict(num_stages=2))
