import numpy as np
from mmpose.datasets.transforms import RandomBBoxTransform
from mmpose.registry import TRANSFORMS

# of shift in x and y, scale and rotation: where they are cut, in deviations
CUTS = np.array([1., 1., 1., 2.])


@TRANSFORMS.register_module()
class ClippedBBoxTransform(RandomBBoxTransform):
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
