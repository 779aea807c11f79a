# 30 epochs as with one network: so its authors trained with 1,000 labels
_base_ = 'multiaugs_posecons_res18_coco1k.py'

model = dict(type='PoseDual')
