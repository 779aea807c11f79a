import cv2
import numpy as np
import pytest

from mmpose_wloss.visualization import (
    Prediction,
    draw_curves,
    draw_heatmap_sheet,
    draw_predictions,
)


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)

    def one():
        return Prediction(
            crop=rng.integers(0, 255, (64, 48, 3), dtype=np.uint8),
            truth=rng.uniform(0, 48, (17, 2)),
            visible=rng.random(17) > 0.2,
            keypoints=rng.uniform(0, 48, (17, 2)),
            heatmaps=rng.random((17, 32, 24)),
            skeleton=[(0, 1), (1, 2)])

    return {'MSE': [one(), one(), one()], 'focal MSE': [one(), one(), one()]}


def colours(path) -> int:
    image = cv2.imread(str(path))
    return len(np.unique(image.reshape(-1, 3), axis=0))


def test_curves(tmp_path):
    path = tmp_path / 'new' / 'curves.png'
    draw_curves({'one seed': [{2: 0.1, 4: 0.3}],
                 'two seeds': [{2: 0.1, 4: 0.2}, {2: 0.2, 4: 0.4, 6: 0.5}]},
                str(path), 'title', 'AP')
    assert colours(path) > 3


@pytest.mark.parametrize('draw', [draw_predictions, draw_heatmap_sheet])
def test_sheets(draw, predictions, tmp_path):
    path = tmp_path / 'sheet.png'
    draw(predictions, str(path))
    assert colours(path) > 100
    larger = {**predictions, 'third': predictions['MSE']}
    draw(larger, str(tmp_path / 'larger.png'))
    assert cv2.imread(str(tmp_path / 'larger.png')).shape[0] > (
        cv2.imread(str(path)).shape[0])
