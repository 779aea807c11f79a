from mmpose_wloss.codecs import CenteredRegressionLabel
from mmpose_wloss.models.heads import CenteredRegressionHead

import numpy as np
import torch
from mmengine.structures import InstanceData
from mmpose.codecs import RegressionLabel
from mmpose.models.heads import RegressionHead
from mmpose.registry import KEYPOINT_CODECS
from mmpose.structures import PoseDataSample

SIZE = (224, 112)
CODEC = dict(type='CenteredRegressionLabel', input_size=SIZE)
MIRRORED = [1, 0, 2]


def keypoints(seed=0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 100, (2, 14, 2))


def test_the_scale_there_and_back():
    points = np.array([[[0., 0.], [112., 56.], [224., 112.]]])
    codec = KEYPOINT_CODECS.build(CODEC)
    labels = codec.encode(points)['keypoint_labels']
    assert labels.tolist() == [[[-1, -1], [0, 0], [1, 1]]]
    assert labels.dtype == np.float32
    decoded, scores = codec.decode(labels)
    assert np.allclose(decoded, points) and (scores == np.ones((1, 3))).all()


def test_all_but_the_scale_is_the_stock_codecs():
    points = keypoints() * 3 - 50
    visible = np.random.default_rng(1).integers(0, 2, (2, 14))
    ours = CenteredRegressionLabel(SIZE).encode(points, visible)
    stock = RegressionLabel(SIZE).encode(points, visible)
    assert np.array_equal(ours['keypoint_weights'], stock['keypoint_weights'])
    assert np.allclose(ours['keypoint_labels'],
                       2 * stock['keypoint_labels'] - 1)
    # with standard deviations, in the units of the labels
    unit = np.random.default_rng(2).uniform(0, 0.5, (2, 14, 4))
    centered = np.concatenate([2 * unit[..., :2] - 1, 2 * unit[..., 2:]], -1)
    kept = centered.copy()
    for mine, theirs in zip(CenteredRegressionLabel(SIZE).decode(centered),
                            RegressionLabel(SIZE).decode(unit), strict=True):
        assert np.allclose(mine, theirs)
    assert np.array_equal(centered, kept)


class Outputs:
    """What a head's layer gives for features that are its outputs."""

    def forward(self, feats):
        return feats[-1].clone()


Centered = type('Centered', (Outputs, CenteredRegressionHead), {})


def data_samples() -> list:
    sample = PoseDataSample(metainfo=dict(
        flip_indices=MIRRORED, input_size=SIZE))
    sample.gt_instances = InstanceData()
    return [sample]


def flipped(points: np.ndarray) -> np.ndarray:
    """The joints of the mirrored image: pixel 0 becomes pixel W - 1."""
    mirrored = points[:, MIRRORED].copy()
    mirrored[..., 0] = SIZE[0] - 1 - mirrored[..., 0]
    return mirrored


def predict(head, direct, mirrored) -> np.ndarray:
    feats = [(torch.from_numpy(head.decoder.encode(points)['keypoint_labels']),
              ) for points in (direct, mirrored)]
    predictions = head.predict(feats, data_samples(), dict(flip_test=True))
    return predictions[0].keypoints


def test_a_perfect_network_gains_nothing_by_the_flip_test():
    head = Centered(in_channels=4, num_joints=3, decoder=CODEC)
    points = keypoints()[:1, :3]
    assert np.allclose(predict(head, points, flipped(points)), points,
                       atol=1e-3)
    # and where the two differ, their mean counts
    other = keypoints(1)[:1, :3]
    assert np.allclose(predict(head, points, flipped(other)),
                       (points + other) / 2, atol=1e-3)


def test_without_a_flip_test_the_head_is_the_stock_one():
    torch.manual_seed(0)
    ours = CenteredRegressionHead(4, 3, decoder=CODEC)
    stock = RegressionHead(4, 3, decoder=CODEC)
    stock.load_state_dict(ours.state_dict())
    feats = (torch.randn(1, 4, 1, 1), )
    with torch.no_grad():
        assert np.array_equal(
            ours.predict(feats, data_samples())[0].keypoints,
            stock.predict(feats, data_samples())[0].keypoints)
