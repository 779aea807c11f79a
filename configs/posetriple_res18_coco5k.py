_base_ = 'posetriple_res18_coco1k.py'

labeled = dict(
    _base_.labeled,
    ann_file='annotations/person_keypoints_train2017_first5000.json')
train_dataloader = dict(
    dataset=dict(datasets=[labeled, _base_.unlabeled]))
