"""A video at a glance: a sheet of its frames, and a small moving picture."""

import io
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..apis.video_files import VideoReader

TILE = 320  # largest width of a frame on a sheet, pixels
MARGIN = 4
# a GIF's largest width in pixels and number of frames and colours, tried one
# after the other
SMALLER = ((320, 40, 128), (320, 40, 64), (256, 30, 64), (192, 30, 64),
           (192, 20, 64), (128, 20, 64), (128, 12, 32), (96, 8, 32))
STILL = 20  # of 255; a codec's noise is less


def write_sheet(video: str, count: int, path: str) -> int:
    """Write evenly spaced frames of a video side by side, as PNG.

    Args:
        video (str): The video.
        count (int): How many frames, the first and the last among them.
        path (str): The picture.

    Returns:
        int: How many frames there are on it: fewer, where the video has not
        so many.

    Raises:
        ValueError: If count is below 1.
    """
    if count < 1:
        raise ValueError(f'a sheet needs at least 1 frame, but is to have '
                         f'{count}')
    tiles, _ = _frames(video, count, TILE)
    height, width = tiles[0].shape[:2]
    columns = math.ceil(math.sqrt(len(tiles) * max(1, height / width)))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (height + MARGIN) - MARGIN,
                     columns * (width + MARGIN) - MARGIN, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top = number // columns * (height + MARGIN)
        left = number % columns * (width + MARGIN)
        sheet[top:top + height, left:left + width] = tile
    _, encoded = cv2.imencode('.png', sheet)
    Path(path).write_bytes(encoded.tobytes())
    return len(tiles)


def write_gif(video: str, path: str, limit: int = 300_000) -> int:
    """Write a video as a GIF that moves at its speed and stays small.

    Frames are left out, made smaller and get fewer colours until the file is
    small enough.

    Args:
        video (str): The video.
        path (str): The GIF.
        limit (int): Bytes that it is to have at most. Defaults to 300,000.

    Returns:
        int: Its bytes, above the limit where even the last attempt is.
    """
    largest, seconds = _frames(video, SMALLER[0][1], SMALLER[0][0])
    for width, count, colors in SMALLER:
        frames = [_narrow(largest[index], width)
                  for index in _spaced(len(largest), count)]
        encoded = _encode_gif(frames, colors, seconds / len(frames))
        if len(encoded) <= limit:
            break
    Path(path).write_bytes(encoded)
    return len(encoded)


def _encode_gif(frames: Sequence[np.ndarray], colors: int,
                seconds: float) -> bytes:
    pictures = [Image.fromarray(np.ascontiguousarray(frame[..., ::-1]))
                for frame in _without_noise(frames)]
    # one palette for all, or still parts would flicker; a few frames have all
    # colours. Median cut, the default, drops those of thin lines
    montage = Image.fromarray(np.concatenate(
        [np.asarray(pictures[index]) for index in _spaced(len(pictures), 6)]))
    palette = montage.quantize(colors, method=Image.Quantize.FASTOCTREE,
                               dither=Image.Dither.NONE)
    first, *others = [picture.quantize(palette=palette,
                                       dither=Image.Dither.NONE)
                      for picture in pictures]
    file = io.BytesIO()
    # GIFs count hundredths of seconds, and browsers slow down below two
    first.save(file, 'GIF', save_all=True, append_images=others, loop=0,
               duration=max(20, 10 * round(100 * seconds)), optimize=True)
    return file.getvalue()


def _without_noise(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Let pixels that hardly change stay: a GIF stores those that do."""
    kept = [frames[0]]
    for frame in frames[1:]:
        change = np.abs(frame.astype(np.int16) - kept[-1]).max(-1)
        kept.append(np.where((change < STILL)[..., None], kept[-1], frame))
    return kept


def _frames(video: str, count: int,
            width: int) -> tuple[list[np.ndarray], float]:
    """Evenly spaced frames, no wider than that, and the video's seconds."""
    with VideoReader(video) as reader:
        # what a file says of its length may be wrong
        total = sum(1 for _ in reader)
    chosen = set(_spaced(total, count))
    with VideoReader(video) as reader:
        frames = [_narrow(frame, width) for number, frame in enumerate(reader)
                  if number in chosen]
        return frames, total / (reader.fps if reader.fps > 0 else 25)


def _spaced(total: int, count: int) -> list[int]:
    return np.linspace(0, total - 1, min(count, total)).round().astype(
        int).tolist()


def _narrow(frame: np.ndarray, width: int) -> np.ndarray:
    scale = min(1., width / frame.shape[1])
    size = [max(1, round(side * scale)) for side in frame.shape[1::-1]]
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
