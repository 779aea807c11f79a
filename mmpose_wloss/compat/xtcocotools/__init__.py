"""Stands in for ``xtcocotools``, which has no wheel from Python 3.12 on.

mmpose reads COCO files and computes AP by it. It is a fork of pycocotools, which
computes the same here, to the last digit. It can go when mmpose takes
pycocotools or when xtcocotools has wheels again.
"""
