# As the original code has it to the letter: its own split, a classifier drawn anew
# as PyTorch draws it, and hues cut off. Put its dataorder.txt into data/lsp/ and run
# python -m mmpose_wloss density fit configs/deeppose_vgg16_wloss_original_lsp.py
_base_ = 'deeppose_vgg16_wloss_lsp.py'

pose_density = dict(file='work_dirs/pose_density/lsp_train_original.npz')
model = dict(neck=dict(init_cfg=[]), head=dict(init_cfg=[]))
train_pipeline = [
    *_base_.whole_image, dict(type='RandomHSV', wrap_hue=False),
    dict(type='GenerateTarget', encoder=_base_.codec),
    dict(type='PoseDensityWeights', file=pose_density['file']),
    dict(type='PackPoseInputs')]
order = dict(order_file='dataorder.txt')
train_dataloader = dict(dataset=dict(order, pipeline=train_pipeline))
val_dataloader = dict(dataset=order)
test_dataloader = val_dataloader
