from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from io import BytesIO

import mmcv
from PIL import Image

EXIF_ORIENTATION = 0x0112


# some data sets ask for it whenever a sample is loaded
@lru_cache(maxsize=1 << 20)
def loaded_image_size(path: str) -> tuple[int, int]:
    """Width and height of an image as ``LoadImage`` loads it by default.

    Args:
        path (str): A file on the local disk. Its pixels are not decoded.

    Returns:
        tuple[int, int]: Pixels, after the turn that the file's EXIF data ask for.
    """
    with _any_size(), Image.open(path) as image:
        exif = Image.Exif()
        # Pillow's own getexif() decodes a PNG to look behind the pixels, and takes an
        # orientation from XMP, which OpenCV does not know
        exif.load(image.info.get('exif', b''))
        turned = image.format in ('JPEG', 'MPO', 'PNG') or (
            image.format == 'WEBP' and _webp_is_turned())
        if turned and exif.get(EXIF_ORIENTATION) in (5, 6, 7, 8):
            return image.height, image.width
        return image.size


@contextmanager
def _any_size() -> Iterator[None]:
    """Let Pillow open images that it takes for bombs: only their header is read."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@cache
def _webp_is_turned() -> bool:
    """Whether this version of OpenCV follows the orientation of WebP files."""
    exif, file = Image.Exif(), BytesIO()
    exif[EXIF_ORIENTATION] = 6
    Image.new('RGB', (2, 1)).save(file, 'WEBP', exif=exif)
    return mmcv.imfrombytes(file.getvalue()).shape[:2] == (2, 1)
