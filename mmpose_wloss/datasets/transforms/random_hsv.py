import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS

# OpenCV's hue of 8-bit images: half degrees
HUES = 180


@TRANSFORMS.register_module()
class RandomHSV(BaseTransform):
    """Change hue, saturation and value of an image at random.

    Hue and saturation are multiplied by a number, to value one is added; each
    is drawn from a uniform distribution, once per image. Hue is an angle and
    goes round (of red, which lies at both ends of the circle, one side turns
    to orange); saturation and value are cut off at 0 and 255. The defaults are
    the source's.

    Required Keys:

        - img

    Modified Keys:

        - img

    Args:
        hue (tuple[float, float]): Least and greatest factor of the hue, at
            least 0. Defaults to (0.8, 1.2).
        saturation (tuple[float, float]): Least and greatest factor of the
            saturation, at least 0. Defaults to (0.8, 1.2).
        value (tuple[float, float]): Least and greatest summand of the value,
            in the range of pixels, 0 to 255. Defaults to (-25, 25).

    Raises:
        ValueError: If an argument does not fit, or if the image is not 8-bit
            BGR.
    """

    def __init__(self,
                 hue: tuple[float, float] = (0.8, 1.2),
                 saturation: tuple[float, float] = (0.8, 1.2),
                 value: tuple[float, float] = (-25., 25.)) -> None:
        for name, limits, least in (('hue', hue, 0.),
                                    ('saturation', saturation, 0.),
                                    ('value', value, -255.)):
            if len(limits) != 2 or not least <= limits[0] <= limits[1]:
                raise ValueError(f'{name} must be two numbers in ascending '
                                 f'order, at least {least:g}, but it is '
                                 f'{limits}')
        self.hue = hue
        self.saturation = saturation
        self.value = value

    @cache_randomness
    def _draw(self) -> tuple[float, float, float]:
        return (np.random.uniform(*self.hue),
                np.random.uniform(*self.saturation),
                np.random.uniform(*self.value))

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
                'RandomHSV takes images of type uint8 in shape (height, width, '
                f"3), but img of {results.get('img_path')} is {found}. Put it "
                'before transforms that change the type')
        results['img'] = shift_hsv(image, *self._draw())
        return results

    def __repr__(self) -> str:
        """The transform and its parameters."""
        return (f'{type(self).__name__}(hue={self.hue}, '
                f'saturation={self.saturation}, value={self.value})')


def shift_hsv(image: np.ndarray, hue: float, saturation: float,
              value: float) -> np.ndarray:
    """Multiply an image's hue and saturation, and add to its value.

    Args:
        image (np.ndarray): BGR, uint8 in shape [H, W, 3].
        hue (float): Factor of the hue.
        saturation (float): Factor of the saturation.
        value (float): Summand of the value, in the range of pixels.

    Returns:
        np.ndarray: The new image; the same one where there is nothing to do.
    """
    # 8-bit HSV is coarser than BGR, so that there and back is not the same
    if (hue, saturation, value) == (1., 1., 0.):
        return image
    levels = np.arange(256)
    tables = np.stack([
        np.rint(levels * hue) % HUES,
        np.rint(levels * saturation).clip(0, 255),
        np.rint(levels + value).clip(0, 255)
    ], axis=1).astype(np.uint8)
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), tables[None])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
