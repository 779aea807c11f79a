"""COCO's layout: what is written for a picture, and the files of a split."""

import json
import os
from collections.abc import Iterable
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
    # COCO counts joints from 1 here.
    skeleton=[[a + 1, b + 1] for a, b in SKELETON])

LICENSE = dict(
    id=1,
    name='Rendered from the body model anny (Apache-2.0); no photograph and '
    'no recorded person is contained in this data set.',
    url='https://www.apache.org/licenses/LICENSE-2.0')

# Annotation ids leave room for this many people per picture.
_IDS_PER_IMAGE = 10


def file_name(index: int) -> str:
    """Name a picture.

    Args:
        index (int): Number of the picture in its split, from 0.

    Returns:
        str: ``'000000000001.jpg'`` for the first.
    """
    return f'{index + 1:012d}.jpg'


def image_entry(index: int, camera: Camera) -> dict:
    """Describe a picture.

    Args:
        index (int): Number of the picture in its split, from 0.
        camera (Camera): Its camera.

    Returns:
        dict: An entry of ``images``.
    """
    return dict(
        id=index + 1,
        file_name=file_name(index),
        width=camera.size,
        height=camera.size,
        license=LICENSE['id'],
        camera=dict(f=[camera.focal, camera.focal], c=list(camera.center)))


def annotation_entries(index: int, labels: list[PersonLabel]) -> list[dict]:
    """Describe the people in a picture.

    Args:
        index (int): Number of the picture in its split, from 0.
        labels (list[PersonLabel]): The people.

    Returns:
        list[dict]: Entries of ``annotations``.
    """
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
    """Describe where the people in a picture are, and nothing else.

    Args:
        index (int): Number of the picture in its split, from 0.
        labels (list[PersonLabel]): The people.

    Returns:
        list[dict]: COCO detection results.
    """
    return [
        dict(
            image_id=index + 1,
            category_id=CATEGORY['id'],
            bbox=label.bbox,
            score=1.0) for label in labels
    ]


def write_labeled(path: Path, records: Iterable[dict], info: dict) -> None:
    """Write ``person_keypoints_*.json`` atomically.

    Args:
        path (Path): The file.
        records (Iterable[dict]): ``image`` and ``annotations`` of each
            picture.
        info (dict): The file's ``info``.
    """
    records = list(records)
    write_json(
        path,
        dict(
            info=info,
            licenses=[LICENSE],
            categories=[CATEGORY],
            images=[record['image'] for record in records],
            annotations=[
                annotation for record in records
                for annotation in record['annotations']
            ]))


def write_unlabeled(folder: Path, records: Iterable[dict],
                    info: dict) -> None:
    """Write the two files of the split without labels atomically.

    Args:
        folder (Path): Gets ``image_info_unlabeled.json`` and
            ``person_boxes_unlabeled.json``.
        records (Iterable[dict]): ``image`` and ``boxes`` of each picture.
        info (dict): The first file's ``info``.
    """
    records = list(records)
    write_json(
        folder / 'image_info_unlabeled.json',
        dict(
            info=info,
            licenses=[LICENSE],
            categories=[CATEGORY],
            images=[record['image'] for record in records]))
    write_json(folder / 'person_boxes_unlabeled.json',
               [box for record in records for box in record['boxes']])


def write_json(path: Path, content: object) -> None:
    """Write a JSON file that is either whole or not there.

    Args:
        path (Path): The file.
        content (object): What JSON can hold.
    """
    write_bytes(path, json.dumps(content).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that is either whole or not there.

    Args:
        path (Path): The file.
        content (bytes): Its content.
    """
    temporary = path.with_name(f'.{path.name}.{os.getpid()}')
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _polygons(mask: np.ndarray) -> list[list[float]]:
    """Outline a mask; COCO counts from the upper left pixel's corner."""
    # OpenCV outlines through pixel centres, which is too narrow by half a
    # pixel on every side; on an enlarged mask half a pixel is little.
    zoom = 4
    large = np.kron(mask.astype(np.uint8), np.ones((zoom, zoom), np.uint8))
    contours, _ = cv2.findContours(large, cv2.RETR_EXTERNAL,
                                   cv2.CHAIN_APPROX_NONE)
    polygons = []
    for contour in contours:
        outline = cv2.approxPolyDP(contour, 0.4 * zoom, closed=True)
        if len(outline) >= 3:
            polygons.append(_plain((outline.ravel() + 0.5) / zoom))
    return polygons


def _plain(values: np.ndarray) -> list[float]:
    """Python numbers, whole ones without a decimal point."""
    return [int(x) if x == int(x) else round(float(x), 2) for x in values]
