"""Random boxes by which people have uniformly distributed sizes."""

import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmpose.datasets.transforms import RandomBBoxTransform
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class UniformBBoxTransform(RandomBBoxTransform):
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
