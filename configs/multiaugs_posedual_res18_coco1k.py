_base_ = 'multiaugs_posecons_res18_coco1k.py'

model = dict(type='PoseDual')
