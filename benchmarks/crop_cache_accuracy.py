"""Whether a network that learns from cached crops is as accurate as one from images.

On images of 256 x 256 with inputs of 64 x 64, so that most people are stored smaller.
Render them first:
python -m mmpose_wloss render dataset --size 256 --out data/annypose_256
"""

import json
from types import SimpleNamespace

from crop_cache import fidelity
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpose.registry import DATASETS
from study import ROOT, Study

CONFIG = 'configs/demo/resnet18_mse_annypose.py'
DATA = 'data/annypose_256'
dataset = Config.fromfile(str(ROOT / CONFIG)).train_dataloader.dataset.to_dict()
# as a row is read from its file again: with lists
dataset = json.loads(json.dumps(dataset))
dataset['data_root'] = DATA
ann_file = f'{DATA}/annotations/person_keypoints_val.json'
SHARED = {'val_dataloader.dataset.data_root': DATA,
          'test_dataloader.dataset.data_root': DATA,
          'val_evaluator.0.ann_file': ann_file}
STUDY = Study(
    'crop_cache_accuracy',
    config=CONFIG,
    configurations={
        'images': {'train_dataloader.dataset.data_root': DATA, **SHARED},
        'crops': {'train_dataloader.dataset': dict(
            _delete_=True, type='CropCache', cache='disk', dataset=dataset), **SHARED},
    },
    seeds=4,
    epochs=8,
    figures={'coco/AP': 'AP', 'coco/AP .5': 'AP50', 'PCK': 'PCK@0.1'})
STUDY.annotations = ROOT / DATA / 'annotations' / 'person_keypoints_train.json'


if __name__ == '__main__':
    init_default_scope('mmpose')
    folder = str(ROOT / 'work_dirs' / 'crops')
    inputs = dict(dataset, data_root=str(ROOT / DATA))
    print(fidelity(SimpleNamespace(name='inputs of the study', datasets={
        ('labeled', 'stock'): DATASETS.build(inputs),
        ('labeled', 'crops'): DATASETS.build(
            dict(type='CropCache', dataset=inputs, folder=folder))}), 1000))
    STUDY.main()
