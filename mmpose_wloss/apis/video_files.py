"""Video files, read and written frame by frame."""

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..common.errors import UserError
from ..common.files import existing_file

# what OpenCV's packages can encode, by a file's ending
CODECS = {'.avi': 'MJPG', '.mkv': 'mp4v', '.mov': 'mp4v', '.mp4': 'mp4v',
          '.webm': 'VP90'}


class VideoReader:
    """The frames of a video file: iterate once.

    Args:
        path (str): The file.

    Attributes:
        fps (float | None): Frames per second, if the file says so.
        size (tuple[int, int]): Width and height in pixels.
        announced (int | None): How many frames the file says it has, if so.
        read (int): How many frames were read so far.

    Raises:
        MissingFile: If the file is not there.
        UserError: If no frame of it can be read, or, when iterated over, if
            the size of frames changes.
    """

    def __init__(self, path: str) -> None:
        self.path = existing_file(path, 'video')
        self._capture = cv2.VideoCapture(str(path))
        _, self._first = self._capture.read()
        if self._first is None:
            raise UserError(f'{path} cannot be read as a video: it is empty, broken '
                            'or of a codec that OpenCV does not know')
        fps, announced = (self._capture.get(key) for key in (
            cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        self.fps = fps if 0 < fps < math.inf else None
        self.announced = int(announced) if 0 < announced < 2**31 else None
        # a file's own size is that before it is turned upright
        self.size = self._first.shape[1::-1]
        self.read = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        frame = self._first
        while frame is not None:
            if frame.shape[1::-1] != self.size:
                raise UserError('frame {} of {} has {}×{} pixels, those before it '
                                '{}×{}'.format(self.read, self.path,
                                               *frame.shape[1::-1], *self.size))
            self.read += 1
            yield frame
            _, frame = self._capture.read()


class VideoWriter:
    """Writes a video file, frame by frame.

    Args:
        path (str): The file; its ending is one of :data:`CODECS`.
        fps (float): Frames per second.
        size (tuple[int, int]): Width and height in pixels. Encoders want even
            numbers: of odd ones the last column or row is left out.

    Raises:
        UserError: If it cannot be written like that.
    """

    def __init__(self, path: str, fps: float, size: tuple[int, int]) -> None:
        self.path, self.written = Path(path), 0
        codec = CODECS.get(self.path.suffix.lower())
        if codec is None:
            raise UserError(f'{path} must end in {", ".join(CODECS)}')
        self._writer = cv2.VideoWriter(
            str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
        if not self._writer.isOpened():
            raise UserError(f'OpenCV cannot write {path} with codec {codec} at '
                            f'{fps:g} frames per second: the folder cannot be '
                            'written, or this build has no such encoder')

    def write(self, frame: np.ndarray) -> None:
        """Write a frame, BGR uint8 in shape [H, W, 3]."""
        self._writer.write(frame)
        self.written += 1

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: If it does not hold what was written, such as on a full
                disk, of which OpenCV says nothing.
        """
        self._writer.release()
        held = VideoReader(self.path).announced
        if held is not None and held < self.written:
            raise OSError(f'{self.path} holds {held} of {self.written} frames: '
                          'is the disk full?')
