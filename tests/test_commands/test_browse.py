from pathlib import Path

from mmpose_wloss.commands import browse
from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.visualization import draw_hard_views

import pytest
import torch
from mmengine.config import Config
from torch import nn

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
FILES = """
files = dict(data_root={root!r}, data_prefix=dict(img='train2017/'), indices=6,
             ann_file='annotations/person_keypoints_train2017.json')
train_dataloader = _base_.train_dataloader
"""


def test_hard_views_of_a_config_are_drawn(coco_root, tmp_path, capsys):
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = {str(DEMO / 'posedual_resnet18_annypose.py')!r}" +
        FILES.format(root=str(coco_root)) +
        'for one in train_dataloader.dataset.datasets:\n    one.update(files)\n')
    picture = tmp_path / 'new' / 'views.png'
    assert browse.main([str(config), '--out', str(picture), '--count', '2']) == 0
    views = picture.with_name('views_hard_views.png')
    said = capsys.readouterr().out
    for file in (picture, views):
        assert file.stat().st_size > 5000 and str(file) in said

    # the same ones once more
    drawn = views.read_bytes()
    assert browse.main([str(config), '--out', str(picture), '--count', '2']) == 0
    assert views.read_bytes() == drawn

    # of another model: there is no picture of half of it
    other = tmp_path / 'other.pth'
    torch.save(dict(state_dict=nn.Linear(2, 3).state_dict()), other)
    nowhere = tmp_path / 'other' / 'views.png'
    with pytest.raises(UserError, match='other.pth'):
        browse.main([str(config), '--out', str(nowhere), '--checkpoint', str(other)])
    assert not nowhere.exists()

    config.write_text(f"_base_ = {str(DEMO / 'resnet18_mse_annypose.py')!r}" +
                      FILES.format(root=str(coco_root)) +
                      'train_dataloader.dataset.update(files)\n')
    views.unlink()
    assert browse.main([str(config), '--out', str(picture)]) == 0
    assert not views.exists()
    with pytest.raises(UserError, match='TopdownPoseEstimator'):
        draw_hard_views(Config.fromfile(config), picture)
    with pytest.raises(MissingFile, match='none.py'):
        browse.main(['none.py'])
