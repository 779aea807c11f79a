from collections.abc import Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmpose.codecs import MSRAHeatmap
from mmpose.registry import KEYPOINT_CODECS
from torch import Tensor

from ..common import checks
from ..common.configs import components
from ..common.errors import UserError

LABEL_TYPES = ('gaussian', 'cauchy')


@KEYPOINT_CODECS.register_module()
class HourglassHeatmap(MSRAHeatmap):
    r"""Heatmaps as the code of the stacked hourglass draws and reads them.

    A joint at u pixels of the heatmap has its peak in pixel :math:`\lfloor u \rfloor`,
    and a peak in pixel p is read as :math:`p + 0.5`. ``MSRAHeatmap`` rounds u and reads
    p, so it reads a network of this convention half a pixel too far to the left and
    to the top: 2 px of 256. Networks of the original code of fast pose distillation,
    of pytorch-pose and of pose-hg-train are of this one. A joint at r pixels from the
    peak's center has

    .. math::
        g(r) = e^{-r^2 / 2 \sigma^2} \quad \text{or} \quad
        g(r) = \frac{\sigma}{(r^2 + \sigma^2)^{3/2}}

    within a square of :math:`3 \sigma` around it, and 0 outside. The second one,
    Cauchy's, peaks at :math:`1 / \sigma^2`.

    A horizontal flip keeps this convention: test with ``flip_test`` and without
    ``shift_heatmap``.

    Args:
        input_size (tuple[int, int]): Width and height of the input in pixels.
        heatmap_size (tuple[int, int]): Width and height of the heatmap.
        sigma (float): :math:`\sigma` in pixels of the heatmap.
            :class:`SigmaDecayHook` makes it smaller with every epoch.
        label_type (str): ``'gaussian'`` or ``'cauchy'``.
        teach_absent (bool): Whether joints without a label or outside of the heatmap
            are taught as empty heatmaps, as in the original code, or have weight 0.

    Raises:
        UserError: If an argument is out of its range.
    """

    def __init__(self,
                 input_size: Sequence[int],
                 heatmap_size: Sequence[int],
                 sigma: float = 1.,
                 label_type: str = 'gaussian',
                 teach_absent: bool = False) -> None:
        checks.positive(sigma=sigma)
        for name, size in (('input_size', input_size), ('heatmap_size', heatmap_size)):
            if not isinstance(size, (tuple, list)) or len(size) != 2 or min(size) < 1:
                raise UserError(
                    f'{name} must be a width and a height, but it is {size!r}')
        checks.one_of(LABEL_TYPES, label_type=label_type)
        super().__init__(tuple(input_size), tuple(heatmap_size), sigma)
        self.label_type = label_type
        self.teach_absent = teach_absent

    @classmethod
    def check_config(cls, component: dict, key: str, cfg: Config) -> None:
        """Refuse a ``flip_test`` that shifts the flipped heatmaps.

        Raises:
            UserError: If ``shift_heatmap`` is set.
        """
        for place, model in components(cfg.get('model'), 'model'):
            test_cfg = model.get('test_cfg') or {}
            if key == f'{place}.head.decoder' and test_cfg.get(
                    'flip_test') and test_cfg.get('shift_heatmap'):
                raise UserError(
                    f'{place}.test_cfg.shift_heatmap: True, but flipped heatmaps of '
                    f'{cls.__name__} lie where the others do. Set it to False')

    def encode(self, keypoints: np.ndarray,
               keypoints_visible: np.ndarray | None = None) -> dict:
        """Encode pixels of the input in shape [1, K, 2].

        Returns:
            dict: ``heatmaps`` [K, H, W] and ``keypoint_weights`` [1, K], float32.

        Raises:
            UserError: If there are several people.
        """
        if len(keypoints) != 1:
            raise UserError(f'{type(self).__name__} encodes one person, but got '
                            f'{len(keypoints)}')
        if keypoints_visible is None:
            keypoints_visible = np.ones(keypoints.shape[:2], np.float32)
        heatmaps, missed = draw_hourglass_heatmaps(
            self, *map(torch.from_numpy, (keypoints, keypoints_visible >= 0.5)))
        weights = (np.ones_like(keypoints_visible) if self.teach_absent else
                   np.where(missed, 0, keypoints_visible))
        return dict(heatmaps=heatmaps[0].numpy(),
                    keypoint_weights=weights.astype(np.float32))

    def decode(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Decode heatmaps in shape [K, H, W].

        Returns:
            tuple[np.ndarray]: Keypoints in pixels of the input in shape [1, K, 2],
            and scores in shape [1, K].
        """
        keypoints, scores = super().decode(encoded)
        return keypoints + 0.5 * self.scale_factor, scores


def draw_hourglass_heatmaps(codec: HourglassHeatmap, keypoints: Tensor,
                            visible: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the heatmaps of a batch.

    Args:
        codec (HourglassHeatmap): What they are to be like.
        keypoints (Tensor): In pixels of the input in shape [B, K, 2].
        visible (Tensor): Which of them are labeled, bool in shape [B, K].

    Returns:
        tuple[Tensor]: Heatmaps, float32 in shape [B, K, H, W], and which labeled
        joints have no weight, as they are out of reach, bool in shape [B, K].
    """
    sigma = float(codec.sigma)
    peaks = (keypoints / keypoints.new_tensor(codec.scale_factor)).trunc()
    # of a joint that is far away, the square would overflow
    peaks = peaks.float().clamp(-1e4, 1e4)
    x, y = (torch.arange(size, device=peaks.device) - peak.unsqueeze(-1)
            for peak, size in zip(peaks.unbind(-1), codec.heatmap_size, strict=True))
    near_x, near_y = (side.abs() <= 3 * sigma for side in (x, y))
    missed = visible & ~(near_x.any(-1) & near_y.any(-1))
    near_y = near_y & visible.unsqueeze(-1)
    if codec.label_type == 'gaussian':
        # a product of its profiles, for which a fraction of its pixels is computed
        x, y = (torch.exp(side.square() / (-2 * sigma**2)).masked_fill(~near, 0)
                for near, side in ((near_x, x), (near_y, y)))
        heatmaps = y.unsqueeze(-1) * x.unsqueeze(-2)
    else:
        square = y.square().unsqueeze(-1) + x.square().unsqueeze(-2)
        drawn = near_y.unsqueeze(-1) & near_x.unsqueeze(-2)
        heatmaps = (sigma * (square + sigma**2)**-1.5).masked_fill(~drawn, 0)
    return heatmaps, torch.zeros_like(missed) if codec.teach_absent else missed
