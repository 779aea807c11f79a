"""The contact sheet: a look at the first pictures, with and without joints."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from .body import JOINT_NAMES, SKELETON
from .coco import write_bytes

# pixels of a picture on the sheet, and pictures side by side
_TILE, _COLUMNS = 176, 8
# BGR: the body's left is orange, its right blue, the middle green
_LEFT, _RIGHT, _MIDDLE = (20, 140, 255), (255, 120, 30), (80, 220, 80)


def draw_skeleton(image: np.ndarray, keypoints: np.ndarray, scale: float = 1.) -> None:
    """Draw joints [17, 3] and bones into an image, so many times enlarged.

    Left is orange, right blue; hidden joints are hollow.
    """
    points = np.round((keypoints[:, :2] + 0.5) * scale - 0.5).astype(int)
    colors = [
        _LEFT if name.startswith('left') else
        _RIGHT if name.startswith('right') else _MIDDLE
        for name in JOINT_NAMES
    ]
    for a, b in SKELETON:
        if keypoints[a, 2] and keypoints[b, 2]:
            color = colors[a] if colors[a] == colors[b] else _MIDDLE
            cv2.line(image, points[a].tolist(), points[b].tolist(), color, 1,
                     cv2.LINE_AA)
    for point, color, flag in zip(points, colors, keypoints[:, 2], strict=True):
        inside = color if flag == 2 else (255, 255, 255)
        if flag:
            cv2.circle(image, point.tolist(), 3, inside, -1, cv2.LINE_AA)
        if flag == 1:
            cv2.circle(image, point.tolist(), 3, color, 1, cv2.LINE_AA)


def write_contact_sheet(path: Path, folder: Path, records: Sequence[dict]) -> None:
    """Write a sheet of a folder's pictures; every other row shows joints."""
    rows = -(-len(records) // _COLUMNS)
    tile = _TILE
    sheet = np.full((rows * tile, _COLUMNS * tile, 3), 255, np.uint8)
    for number, record in enumerate(records):
        image = cv2.imread(str(folder / record['image']['file_name']))
        scale = tile / image.shape[0]
        image = cv2.resize(image, (tile, tile), interpolation=cv2.INTER_CUBIC)
        row, column = divmod(number, _COLUMNS)
        if row % 2:
            for person in record['annotations']:
                draw_skeleton(image, np.reshape(person['keypoints'], (17, 3)), scale)
        sheet[row * tile:(row + 1) * tile, column * tile:(column + 1) * tile] = image
    _, encoded = cv2.imencode('.jpg', sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])
    write_bytes(path, encoded.tobytes())
