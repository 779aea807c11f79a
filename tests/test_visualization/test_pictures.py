from mmpose_wloss.models.hard_views import HardView
from mmpose_wloss.visualization import (
    Prediction,
    draw_curves,
    draw_hard_views,
    draw_predictions,
)
from mmpose_wloss.visualization.hard_view_sheet import pixels
from mmpose_wloss.visualization.skeleton import Skeleton

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)

    def one():
        return Prediction(
            crop=np.full((64, 48, 3), 128, np.uint8),
            truth=rng.uniform(0, 48, (17, 2)),
            visible=rng.random(17) > 0.2,
            keypoints=rng.uniform(0, 48, (17, 2)),
            heatmaps=rng.random((17, 32, 24)),
            skeleton=Skeleton.without_bones(17))

    return {'MSE': [one(), one()], 'focal MSE': [one(), one()]}


def share_of(path, color) -> float:
    """Share of a picture's pixels that have nearly this color (RGB)."""
    image = cv2.imread(str(path))[..., ::-1].astype(int)
    return (np.abs(image - color).max(-1) < 40).mean()


BLUE, ORANGE, LIME = (31, 119, 180), (255, 127, 14), (0, 255, 0)


def test_curves(tmp_path):
    path = tmp_path / 'new' / 'curves.png'
    draw_curves({'one seed': [{2: 0.1, 4: 0.3}],
                 'two seeds': [{2: 0.1, 4: 0.2}, {2: 0.2, 4: 0.4, 6: 0.5}]},
                str(path), 'title', 'AP')
    assert share_of(path, BLUE) > 1e-3
    assert share_of(path, ORANGE) > 1e-3


def test_predictions_show_truth_and_each_model(predictions, tmp_path):
    draw_predictions(predictions, str(tmp_path / 'all.png'))
    for color in (LIME, BLUE, ORANGE):
        assert share_of(tmp_path / 'all.png', color) > 1e-3
    predictions.pop('focal MSE')
    draw_predictions(predictions, str(tmp_path / 'one.png'))
    assert share_of(tmp_path / 'one.png', ORANGE) == 0


def test_heatmaps_show_their_height(predictions, tmp_path):
    """Dark where all heatmaps are 0, bright where they are 1."""
    shares = {}
    for name, fill in (('bright', np.ones_like), ('dark', np.zeros_like)):
        path = tmp_path / f'{name}.png'
        draw_predictions({name: [
            person._replace(heatmaps=fill(person.heatmaps))
            for person in predictions['MSE']]}, str(path), heatmaps=True)
        shares[name] = share_of(path, (0, 0, 4)), share_of(path, (252, 255, 164))
    assert shares['dark'][0] > shares['bright'][0] + 0.2
    assert shares['bright'][1] > shares['dark'][1] + 0.2


def test_hard_views(tmp_path, coco_root, request):
    config = Config.fromfile(
        request.config.rootpath / 'configs' / 'demo' /
        'posedual_resnet18_annypose.py')
    for dataset in config.train_dataloader.dataset.datasets:
        dataset.update(
            data_root=str(coco_root), data_prefix=dict(img='train2017/'),
            ann_file='annotations/person_keypoints_train2017.json', indices=6)
    config.model.hard_views = [config.model.hard_views, []]
    path = tmp_path / 'new' / 'views.png'
    draw_hard_views(config, path, count=2)
    assert share_of(path, (0, 255, 102)) > 0  # the joints
    # three rows of square images
    height, width = cv2.imread(str(path)).shape[:2]
    assert height / width == pytest.approx(1.55 * 3 / 4, rel=0.05)
    with pytest.raises(ValueError, match='TopdownPoseEstimator'):
        draw_hard_views(Config(dict(model=dict(type='TopdownPoseEstimator'))), path)


def test_pixels_are_those_of_the_image():
    image = torch.randint(256, (1, 3, 4, 5)).float()
    mean, std = torch.tensor([[[120.]]] * 3), torch.tensor([[[60.]]] * 3)
    for rgb in (True, False):
        view = HardView(image=(image - mean) / std, mean=mean, std=std,
                        joints=torch.zeros(1, 1, 0, 2), rgb=rgb)
        expected = (image if rgb else image.flip(1))[0].permute(1, 2, 0)
        assert torch.allclose(255 * pixels(view, 0), expected, atol=1e-3)
