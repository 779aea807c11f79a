from collections.abc import Sequence

from mmpose.models.heads import RegressionHead
from mmpose.models.utils.tta import flip_coordinates
from mmpose.registry import MODELS


@MODELS.register_module()
class CenteredRegressionHead(RegressionHead):
    """A ``RegressionHead`` for coordinates from -1 to 1.

    It differs from its parent in the flip test alone, which mirrors x to -x in
    place of 1 - x. Checkpoints of either load into the other. ``acc_pose`` in
    the log counts joints less than 0.05 away, 2.5 % of the input's side.

    Args:
        in_channels, num_joints, loss, decoder, init_cfg: As in
            ``RegressionHead``, with a :class:`CenteredRegressionLabel`.
    """

    def predict(self, feats: Sequence, batch_data_samples: list,
                test_cfg: dict | None = None) -> list:
        """Predict keypoints in pixels, as ``RegressionHead`` does."""
        test_cfg = test_cfg or {}
        if not test_cfg.get('flip_test', False):
            return super().predict(feats, batch_data_samples, test_cfg)
        direct, flipped = (self.forward(each) for each in feats)
        metainfo = batch_data_samples[0].metainfo
        # which mirrors in [0, 1]
        flipped = 2 * flip_coordinates(
            (flipped + 1) / 2,
            flip_indices=metainfo['flip_indices'],
            shift_coords=test_cfg.get('shift_coords', True),
            input_size=metainfo['input_size']) - 1
        return self.decode(((direct + flipped) / 2).unsqueeze(1))
