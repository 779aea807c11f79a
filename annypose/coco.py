"""COCO's layout: what is written for a picture, and the files of a split."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .body import JOINT_NAMES, SKELETON
from .camera import Camera
from .scene import PersonLabel

CATEGORY = dict(
    id=1,
    name='person',
    supercategory='person',
    keypoints=list(JOINT_NAMES),
    # COCO counts joints from 1 here
    skeleton=[[a + 1, b + 1] for a, b in SKELETON])

LICENSE = dict(
    id=1,
    name='Rendered from the body model anny (Apache-2.0); no photograph and '
    'no recorded person is contained in this data set.',
    url='https://www.apache.org/licenses/LICENSE-2.0')

# annotation ids leave room for this many people per picture
_IDS_PER_IMAGE = 10


def file_name(index: int) -> str:
    """Name the picture of a number from 0: ``'000000000001.jpg'``, …"""
    return f'{index + 1:012d}.jpg'


def image_entry(index: int, camera: Camera) -> dict:
    """An entry of ``images``: the picture of a number from 0, in its split."""
    return dict(
        id=index + 1,
        file_name=file_name(index),
        width=camera.size,
        height=camera.size,
        license=LICENSE['id'],
        camera=dict(f=[camera.focal, camera.focal], c=list(camera.center)))


def annotation_entries(index: int, labels: list[PersonLabel]) -> list[dict]:
    """Entries of ``annotations``, one for each person in a picture."""
    return [
        dict(
            id=(index + 1) * _IDS_PER_IMAGE + number,
            image_id=index + 1,
            category_id=CATEGORY['id'],
            iscrowd=0,
            bbox=label.bbox,
            area=int(label.visible.sum()),
            segmentation=_polygons(label.visible),
            num_keypoints=int((label.keypoints[:, 2] > 0).sum()),
            keypoints=_plain(label.keypoints.ravel()),
            keypoints_3d=[_plain(joint) for joint in label.keypoints_3d],
            pose_class=label.pose_class,
            occlusion=round(label.occlusion, 3))
        for number, label in enumerate(labels)
    ]


def box_entries(index: int, labels: list[PersonLabel]) -> list[dict]:
    """COCO's detection results: where people are, and nothing else."""
    return [dict(image_id=index + 1, category_id=CATEGORY['id'],
                 bbox=label.bbox, score=1.0) for label in labels]


def content(records: Sequence[dict], info: dict, labeled: bool) -> dict:
    """The content of ``person_keypoints_*.json`` or ``image_info_*.json``.

    Args:
        records (Sequence[dict]): ``image`` and, of a split with labels,
            ``annotations`` of each picture.
        info (dict): The file's ``info``.
        labeled (bool): Whether it has annotations.
    """
    result = dict(
        info=info,
        licenses=[LICENSE],
        categories=[CATEGORY],
        images=[record['image'] for record in records])
    if labeled:
        result['annotations'] = [
            annotation for record in records
            for annotation in record['annotations']]
    return result


def write_json(path: Path, value: object) -> None:
    """Write a JSON file that is either whole or not there."""
    write_bytes(path, json.dumps(value).encode())


def write_bytes(path: Path, value: bytes) -> None:
    """Write a file that is either whole or not there."""
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    temporary.write_bytes(value)
    os.replace(temporary, path)


def _polygons(mask: np.ndarray) -> list[list[float]]:
    """Outline a mask; COCO counts from the upper left pixel's corner."""
    # OpenCV outlines through pixel centers, which is too narrow by half a
    # pixel on every side; on an enlarged mask half a pixel is little.
    zoom = 4
    large = np.kron(mask.astype(np.uint8), np.ones((zoom, zoom), np.uint8))
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in contours:
        outline = cv2.approxPolyDP(contour, 0.4 * zoom, closed=True)
        if len(outline) >= 3:
            polygons.append(_plain((outline.ravel() + 0.5) / zoom))
    return polygons


def _plain(values: np.ndarray) -> list[float]:
    """Python numbers, whole ones without a decimal point."""
    return [int(x) if x == int(x) else round(float(x), 2) for x in values]
