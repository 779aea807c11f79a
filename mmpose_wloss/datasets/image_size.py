from functools import lru_cache

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
    with Image.open(path) as image:
        # OpenCV turns these two formats and no other. Of a PNG, Pillow would
        # decode the pixels to look for an orientation behind them
        turned = (image.format in ('JPEG', 'MPO') or
                  image.format == 'PNG' and 'exif' in image.info)
        if turned and image.getexif().get(EXIF_ORIENTATION) in (5, 6, 7, 8):
            return image.height, image.width
        return image.size
