"""Random boxes, as the originals of our recipes draw them."""

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmpose.datasets.transforms import RandomBBoxTransform
from mmpose.registry import TRANSFORMS

from ...common import checks

# of shift in x and y, scale and rotation: where they are cut, in deviations
CUTS = np.array([1., 1., 1., 2.])


class CheckedBBoxTransform(RandomBBoxTransform):
    """``RandomBBoxTransform`` that refuses what makes no sense.

    Raises:
        UserError: If an argument is out of its range.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        checks.non_negative(shift_factor=self.shift_factor,
                            rotate_factor=self.rotate_factor)
        checks.interval(0.01, scale_factor=self.scale_factor)
        checks.within(0, 1, shift_prob=self.shift_prob, scale_prob=self.scale_prob,
                      rotate_prob=self.rotate_prob)


@TRANSFORMS.register_module()
class ClippedBBoxTransform(CheckedBBoxTransform):
    """``RandomBBoxTransform``, with normal distributions cut, not truncated.

    What the stock transform would draw again lies on the limits: a third of the
    scales are the least or the greatest. So it is in the code of the stacked
    hourglass. The deviation of shift and scale is half of their range, that of the
    rotation is half of ``rotate_factor``; the stock one is nearly as large.

    Args:
        **kwargs: As of ``RandomBBoxTransform``. The code of fast pose distillation
            has ``shift_prob=0``, ``scale_factor=(0.75, 1.25)``, ``rotate_factor=60``.
    """

    @staticmethod
    def _truncnorm(low: float = -1., high: float = 1.,
                   size: tuple = ()) -> np.ndarray:
        numbers = np.random.standard_normal(size) / CUTS
        return numbers.clip(low, high).astype(np.float32)


@TRANSFORMS.register_module()
class UniformBBoxTransform(CheckedBBoxTransform):
    r"""``RandomBBoxTransform`` with uniform numbers, and scales of the image.

    The stock one draws from a normal distribution that is cut off, and
    ``scale_factor`` is the box's. Here a factor s makes people s times as large, so
    that the box becomes 1 / s of itself. It is the augmentation of convolutional
    pose machines in Caffe, which integral 3D pose has taken over.

    Args:
        **kwargs: As of ``RandomBBoxTransform``.
    """

    @staticmethod
    def _truncnorm(low: float = -1., high: float = 1.,
                   size: tuple = ()) -> np.ndarray:
        return np.random.uniform(low, high, size).astype(np.float32)

    @cache_randomness
    def _get_transform_params(self, num_bboxes: int
                              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        offset, scale, rotate = super()._get_transform_params(num_bboxes)
        return offset, 1 / scale, rotate
