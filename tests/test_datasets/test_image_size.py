"""The size is that of the image that is loaded."""

from mmpose_wloss.datasets.image_size import EXIF_ORIENTATION, loaded_image_size

import mmcv
import numpy as np
import pytest
from PIL import Image, features

XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/'
       b'1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/'
       b'tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>')


def write(path, **options):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return str(path)


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'tif', 'bmp'])
@pytest.mark.parametrize('orientation', [None, 1, 3, 6, 8])
def test_turned_images(suffix, orientation, tmp_path):
    if suffix == 'webp' and not features.check('webp'):
        pytest.skip('this Pillow has no WebP')
    exif = Image.Exif()
    if orientation:
        exif[EXIF_ORIENTATION] = orientation
    path = write(tmp_path / f'{orientation}.{suffix}', exif=exif)
    assert loaded_image_size(path) == mmcv.imread(path).shape[1::-1]


def test_an_orientation_that_opencv_does_not_know(tmp_path):
    path = write(tmp_path / '1.jpg', xmp=XMP)
    with Image.open(path) as image:
        assert image.getexif().get(EXIF_ORIENTATION) == 6
    assert loaded_image_size(path) == mmcv.imread(path).shape[1::-1] == (60, 40)


def test_images_that_pillow_takes_for_bombs(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    path = write(tmp_path / '1.png')
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    assert loaded_image_size(path) == (60, 40)
    assert Image.MAX_IMAGE_PIXELS == 100
