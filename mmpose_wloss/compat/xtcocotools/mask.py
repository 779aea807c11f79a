"""Masks: those of pycocotools, of which xtcocotools has a copy."""

from pycocotools.mask import (  # noqa: F401
    area,
    decode,
    encode,
    frPyObjects,
    iou,
    merge,
    toBbox,
)
