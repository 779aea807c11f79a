"""The mean of the original PCKh counts joints alike."""

import numpy as np
import pytest
from mmpose.registry import METRICS


def evaluate(name, predicted, true, visible, heads, **arguments):
    metric = METRICS.build(dict(type=name, **arguments))
    metric.dataset_meta = {}
    metric.process([], [
        dict(pred_instances=dict(keypoints=guess[None]), gt_instances=dict(
            keypoints=where[None], keypoints_visible=seen[None],
            bboxes=np.array([[0., 0., 9., 9.]]), head_size=np.array([[head]])))
        for guess, where, seen, head in zip(predicted, true, visible, heads,
                                            strict=True)])
    return metric.evaluate(len(true))


def test_it_is_the_original_mean_beside_the_stock_figures():
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 200, (50, 16, 2))
    # the ankles are worse than the others, and often hidden
    error = rng.normal(0, 1, true.shape) * np.where(np.arange(16) % 5, 8, 30)[:, None]
    visible = rng.random((50, 16)) < np.where(np.arange(16) % 5, 0.9, 0.3)
    heads = rng.uniform(20, 60, 50)
    # predictions count from 0, annotations from 1
    data = true + error - 1, true, visible.astype(np.float32), heads
    found = evaluate('MpiiMeanPCKAccuracy', *data)
    stock = evaluate('MpiiPCKAccuracy', *data)
    assert {name: found[name] for name in stock} == stock
    assert found.keys() - stock.keys() == {'Mean PCK'}

    near = np.linalg.norm(error, axis=2) / heads[:, None] < 0.5
    joints = 100 * (near & visible).sum(0) / visible.sum(0)
    assert found['Mean PCK'] == pytest.approx(np.delete(joints, [6, 7]).mean())
    assert found['Mean PCK'] < stock['PCK'] - 2


def test_joints_of_nobody_do_not_count():
    true = np.full((1, 16, 2), 5.)
    visible = np.ones((1, 16), np.float32)
    visible[0, 3] = 0
    found = evaluate('MpiiMeanPCKAccuracy', true - 1, true, visible, [10.])
    assert found['Mean PCK'] == 100
