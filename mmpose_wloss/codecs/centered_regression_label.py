import numpy as np
from mmengine.config import Config
from mmpose.codecs import RegressionLabel
from mmpose.registry import KEYPOINT_CODECS

from ..common.configs import components, is_of_class
from ..common.errors import UserError


@KEYPOINT_CODECS.register_module()
class CenteredRegressionLabel(RegressionLabel):
    r"""Keypoint coordinates from -1 to 1, with 0 at the image's center.

    .. math:: y = 2 x / s - 1

    for a coordinate x in pixels along a side of s pixels; all else is as in
    ``RegressionLabel``, which scales to [0, 1].

    The stock ``RegressionHead`` mirrors coordinates in [0, 1]: with
    ``flip_test`` use a :class:`CenteredRegressionHead`.

    Args:
        input_size (tuple[int, int]): Width and height of the input in pixels.
    """

    @classmethod
    def check_config(cls, component: dict, key: str, cfg: Config) -> None:
        """Refuse a ``flip_test`` whose head mirrors in [0, 1].

        Raises:
            UserError: If the head is no :class:`CenteredRegressionHead`.
        """
        for place, model in components(cfg.get('model'), 'model'):
            if key == f'{place}.head.decoder' and not is_of_class(
                    model['head'], 'CenteredRegressionHead') and (
                        model.get('test_cfg') or {}).get('flip_test'):
                raise UserError(
                    f"{place}.test_cfg.flip_test: {model['head'].get('type')} "
                    f'mirrors x to 1 - x, which is wrong for {key}. Set the '
                    "head's type to CenteredRegressionHead")

    def encode(self, keypoints: np.ndarray,
               keypoints_visible: np.ndarray | None = None) -> dict:
        """Encode pixels of the input in shape [N, K, 2].

        Returns:
            dict: ``keypoint_labels`` [N, K, 2], from -1 to 1 within the input,
            and ``keypoint_weights`` [N, K], float32.
        """
        encoded = super().encode(keypoints, keypoints_visible)
        encoded['keypoint_labels'] = 2 * encoded['keypoint_labels'] - 1
        return encoded

    def decode(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode coordinates in shape [N, K, 2], or [N, K, 4] with deviations.

        Returns:
            tuple[np.ndarray]: Keypoints in pixels of the input in shape
            [N, K, 2], and scores in shape [N, K], 1 without deviations.
        """
        unit = encoded / 2
        unit[..., :2] += 0.5
        return super().decode(unit)
