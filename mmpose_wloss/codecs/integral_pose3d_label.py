from collections.abc import Sequence

import numpy as np
from mmpose.codecs.base import BaseKeypointCodec
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from ..common import checks
from ..common.errors import UserError
from .drawn_targets import gaussians

# a person is no deeper than that; a range in meters is far below it
LEAST_DEPTH_EXTENT = 100.


@KEYPOINT_CODECS.register_module()
class IntegralPose3DLabel(BaseKeypointCodec):
    r"""Joints in the image and their depth, as places in a volume.

    A joint at the pixel (u, v) of the model's input and the depth z in mm
    behind the root joint is at

    .. math::
        x = \frac{u}{W_{in} - 1}, \quad
        y = \frac{v}{H_{in} - 1}, \quad
        d = \frac{z - z_0}{z_1 - z_0}

    of the volume's sides, from 0 at the centers of the first bins to 1 at the
    centers of the last: a mean over bins (the integral) reaches all of the
    input and of the depth range. Use ``TopdownAffine`` with ``use_udp=True``.

    Samples carry these three numbers per joint. :meth:`heatmaps` and
    :meth:`volumes` draw the Gaussians that a network learns, on the device.
    Joints outside the depth range, and joints whose depth is NaN, keep their
    place in the image.

    Args:
        input_size (tuple[int, int]): Width and height of the input in pixels.
        heatmap_size (tuple[int, int, int]): W, H and D, each at least 2.
        sigma (float): Standard deviation of the Gaussians in bins.
        depth_range (tuple[float, float]): Depths :math:`z_0 < z_1` of the
            first and of the last bin relative to the root joint, in mm.
        depth_sigma (float, optional): Standard deviation along depth in bins;
            by default ``sigma``. Below half a bin, set ``nearest_bin``, too:
            halfway between two bins, little is left of a narrower Gaussian.
        nearest_bin (bool): Draw Gaussians around the bin that is nearest to
            the joint, as the original code does, not around its place.

    Raises:
        UserError: If sizes, sigmas or depth range make no sense, as in meters.
    """

    def __init__(self, input_size: Sequence[int], heatmap_size: Sequence[int],
                 sigma: float = 2.,
                 depth_range: Sequence[float] = (-1000., 1000.),
                 depth_sigma: float | None = None,
                 nearest_bin: bool = False) -> None:
        super().__init__()
        depth_sigma = sigma if depth_sigma is None else depth_sigma
        checks.positive(sigma=sigma, depth_sigma=depth_sigma)
        for name, size, sides in (('input_size', input_size, 'W, H'),
                                  ('heatmap_size', heatmap_size, 'W, H, D')):
            if len(size) != len(sides.split()) or min(size) < 2:
                raise UserError(f'{name} must be ({sides}), each at least 2, '
                                f'but it is {tuple(size)}')
        nearest, farthest = depth_range
        if not farthest - nearest >= LEAST_DEPTH_EXTENT:
            raise UserError(
                'depth_range must be the nearest and the farthest depth in mm, '
                f'{LEAST_DEPTH_EXTENT:g} mm apart, but it is '
                f'{tuple(depth_range)}: is it in meters?')
        self.input_size = tuple(input_size)
        self.heatmap_size = tuple(heatmap_size)
        self.sigma = sigma
        self.depth_sigma = depth_sigma
        self.nearest_bin = nearest_bin
        self.depth_range = (nearest, farthest)
        self._origin = np.array([0, 0, nearest], np.float64)
        self._extent = np.array([input_size[0] - 1, input_size[1] - 1,
                                 farthest - nearest], np.float64)

    @property
    def depth_size(self) -> int:
        """The number of bins along depth, D."""
        return self.heatmap_size[2]

    def encode(self, keypoints: np.ndarray,
               keypoints_visible: np.ndarray | None = None) -> dict:
        """Encode joints of the model's input.

        Args:
            keypoints (np.ndarray): Pixels and depth relative to the root in
                mm, NaN where it is not annotated, in shape [N, K, 3].
            keypoints_visible (np.ndarray, optional): In shape [N, K].

        Returns:
            dict: ``keypoint_labels`` [N, K, 3], from 0 to 1 within input and
            depth range, and ``keypoint_weights`` [N, K], 0 for joints outside
            the input, both float32.

        Raises:
            UserError: If keypoints have no depth, or one in meters.
        """
        if keypoints.ndim != 3 or keypoints.shape[-1] != 3:
            raise UserError(
                'IntegralPose3DLabel needs keypoints with their depth, '
                f'[N, K, 3], but got {keypoints.shape}')
        depths = np.abs(keypoints[..., 2])
        # the depths of a few joints would say nothing
        if (keypoints.shape[1] > 2 and np.isfinite(depths).mean() > 0.5
                and 0 < np.nanmax(depths) < 3):
            raise UserError(
                'depths must be in millimeters, but the greatest is '
                f'{np.nanmax(depths):.3g}: are they in meters?')
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], np.float32)
        # half a pixel belongs to the outermost ones
        inside = ((keypoints[..., :2] >= -0.5) &
                  (keypoints[..., :2] <= self._extent[:2] + 0.5)).all(-1)
        labels = (keypoints - self._origin) / self._extent
        weights = np.where(inside, keypoints_visible, 0)
        return dict(keypoint_labels=labels.astype(np.float32),
                    keypoint_weights=weights.astype(np.float32))

    def decode(self, encoded: np.ndarray,
               scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode places in bins, as :func:`soft_argmax` gives them.

        Args:
            encoded (np.ndarray): In shape [K, 3] or [N, K, 3].
            scores (np.ndarray): In shape [K] or [N, K].

        Returns:
            tuple[np.ndarray]: Pixels of the input and depth relative to the
            root in mm in shape [N, K, 3], and scores in shape [N, K].
        """
        fractions = encoded / (np.array(self.heatmap_size) - 1)
        # pixels as the stock estimator takes them: a crop is W wide, where
        # TopdownAffine with UDP makes it W - 1
        keypoints = fractions * (self._extent + (1, 1, 0)) + self._origin
        shape = (-1, *keypoints.shape[-2:])
        return (keypoints.reshape(shape).astype(np.float32),
                scores.reshape(shape[:-1]))

    def within_depth_range(self, labels: Tensor) -> Tensor:
        """Which joints of labels [..., 3] have a depth that the volume holds."""
        return (labels[..., 2] >= 0) & (labels[..., 2] <= 1)

    def heatmaps(self, labels: Tensor) -> Tensor:
        """Draw labels [B, K, 2 or 3] as Gaussians [B, K, H, W] with a peak of 1."""
        x, y = (self._gaussian(labels, axis) for axis in (0, 1))
        return y.unsqueeze(-1) * x.unsqueeze(-2)

    def volumes(self, labels: Tensor) -> Tensor:
        """Draw labels [B, K, 3] as Gaussians [B, K, D, H, W] with a peak of 1."""
        z = self._gaussian(labels, 2)[..., None, None]
        return z * self.heatmaps(labels).unsqueeze(-3)

    def _gaussian(self, labels: Tensor, axis: int) -> Tensor:
        size = self.heatmap_size[axis]
        centers = labels[..., axis] * (size - 1)
        if self.nearest_bin:
            centers = (centers + 0.5).floor()
        return gaussians(centers, size,
                         self.depth_sigma if axis == 2 else self.sigma)
