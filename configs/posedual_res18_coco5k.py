_base_ = 'posedual_res18_coco1k.py'

labeled = dict(
    _base_.labeled,
    ann_file='annotations/person_keypoints_train2017_first5000.json')
unlabeled = dict(
    _base_.unlabeled,
    ann_file='annotations/person_keypoints_train2017_first5000_rest.json')
train_dataloader = dict(dataset=dict(datasets=[labeled, unlabeled]))
