import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomChannelGain(BaseTransform):
    """Multiply each colour channel of an image by a number of its own.

    The numbers are drawn from a uniform distribution; what exceeds 255 is cut
    off. It is the colour augmentation of the stacked hourglass and of fast
    pose distillation. Each pixel stands for itself, so it costs least after
    the crop.

    Required Keys:

        - img

    Modified Keys:

        - img

    Args:
        gain (tuple[float, float]): Least and greatest factor, at least 0.
            Defaults to (0.8, 1.2).

    Raises:
        ValueError: If the factors do not fit, or if the image is not 8-bit
            with three channels.
    """

    def __init__(self, gain: tuple[float, float] = (0.8, 1.2)) -> None:
        if len(gain) != 2 or not 0 <= gain[0] <= gain[1]:
            raise ValueError('gain must be two numbers in ascending order, at '
                             f'least 0, but it is {gain}')
        self.gain = gain

    @cache_randomness
    def _draw(self) -> np.ndarray:
        return np.random.uniform(*self.gain, size=3)

    def transform(self, results: dict) -> dict:
        """Change the image's colours.

        Args:
            results (dict): The sample, from the pipeline.

        Returns:
            dict: The sample.
        """
        image = results['img']
        if not (isinstance(image, np.ndarray) and image.dtype == np.uint8
                and image.ndim == 3 and image.shape[2] == 3):
            found = (f'{image.dtype} in shape {image.shape}' if isinstance(
                image, np.ndarray) else type(image).__name__)
            raise ValueError(
                'RandomChannelGain takes images of type uint8 in shape '
                f"(height, width, 3), but img of {results.get('img_path')} is "
                f'{found}. Put it before transforms that change the type')
        tables = np.rint(np.arange(256)[:, None] * self._draw()).clip(0, 255)
        results['img'] = cv2.LUT(image, tables.astype(np.uint8)[None])
        return results

    def __repr__(self) -> str:
        """The transform and its parameters."""
        return f'{type(self).__name__}(gain={self.gain})'
