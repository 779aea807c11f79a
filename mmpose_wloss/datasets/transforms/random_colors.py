"""Random changes of colors, of each 8-bit pixel by a table."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS

from ...common import checks
from ...common.errors import UserError

LEVELS = np.arange(256)
# OpenCV's hue of 8-bit images: half degrees
HUES = 180


class RandomColors(BaseTransform):
    """Base of transforms that replace the levels of 8-bit channels."""

    def change(self, image: np.ndarray) -> np.ndarray:
        """A changed copy of an image, uint8 in shape [H, W, 3]."""
        raise NotImplementedError

    @staticmethod
    def look_up(image: np.ndarray, *channels: np.ndarray) -> np.ndarray:
        """Replace each channel's levels by those in [256], rounded and cut."""
        table = np.rint(np.stack(channels, 1)).clip(0, 255).astype(np.uint8)
        return cv2.LUT(image, table[None])

    def transform(self, results: dict) -> dict:
        """Change the image's colors.

        Raises:
            UserError: If the image is not 8-bit with three channels.
        """
        image = results['img']
        shape = getattr(image, 'shape', ())
        if shape[2:] != (3, ) or image.dtype != np.uint8:
            raise UserError(
                f'{type(self).__name__} takes uint8 images in shape (height, '
                f"width, 3), but img of {results.get('img_path')} is a "
                f'{type(image).__name__} in shape {shape}')
        results['img'] = self.change(image)
        return results

    def __repr__(self) -> str:
        """The transform and its parameters."""
        parameters = ', '.join(f'{key}={value}'
                               for key, value in vars(self).items())
        return f'{type(self).__name__}({parameters})'


@TRANSFORMS.register_module()
class RandomChannelGain(RandomColors):
    """Multiply each color channel of an image by a number of its own.

    The numbers are drawn from a uniform distribution; what exceeds 255 is cut
    off. It is the color augmentation of the stacked hourglass and of fast
    pose distillation. It costs least after the crop.

    Args:
        gain (tuple[float, float]): Least and greatest factor, at least 0.

    Raises:
        UserError: If an argument or an image does not fit.
    """

    def __init__(self, gain: tuple[float, float] = (0.8, 1.2)) -> None:
        checks.interval(0, gain=gain)
        self.gain = gain

    @cache_randomness
    def _draw(self) -> np.ndarray:
        return np.random.uniform(*self.gain, size=3)

    def change(self, image: np.ndarray) -> np.ndarray:
        """As of :class:`RandomColors`."""
        return self.look_up(image, *(LEVELS * gain for gain in self._draw()))


@TRANSFORMS.register_module()
class RandomHSV(RandomColors):
    """Change hue, saturation and value of an image at random.

    Hue and saturation are multiplied by a number, to value one is added; each
    is drawn from a uniform distribution, once per image. Hue is an angle and
    goes round; saturation and value are cut off at 0 and 255. The ranges are
    those of weighted DeepPose. (MMPose's transforms add to the hue.)

    Args:
        hue (tuple[float, float]): Least and greatest factor, at least 0.
        saturation (tuple[float, float]): Least and greatest factor, at least 0.
        value (tuple[float, float]): Least and greatest summand, of 255.
        wrap_hue (bool): ``False`` cuts a hue off at 360°, which is red, as the
            code of weighted DeepPose does: of magenta and purple it makes red.

    Raises:
        UserError: If an argument or an image does not fit.
    """

    def __init__(self,
                 hue: tuple[float, float] = (0.8, 1.2),
                 saturation: tuple[float, float] = (0.8, 1.2),
                 value: tuple[float, float] = (-25., 25.),
                 wrap_hue: bool = True) -> None:
        checks.interval(0, hue=hue, saturation=saturation)
        checks.interval(-255, value=value)
        self.hue = hue
        self.saturation = saturation
        self.value = value
        self.wrap_hue = wrap_hue

    @cache_randomness
    def _draw(self) -> tuple[float, float, float]:
        return tuple(np.random.uniform(*limits) for limits in (
            self.hue, self.saturation, self.value))

    def change(self, image: np.ndarray) -> np.ndarray:
        """As of :class:`RandomColors`."""
        hue, saturation, value = self._draw()
        # 8-bit HSV is coarser than BGR, so that there and back is not the same
        if (hue, saturation, value) == (1, 1, 0):
            return image
        hues = np.rint(LEVELS * hue)
        if not self.wrap_hue:
            hues = hues.clip(max=HUES)
        hsv = self.look_up(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), hues % HUES,
                           LEVELS * saturation, LEVELS + value)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
