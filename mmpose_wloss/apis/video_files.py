"""Video files, read and written frame by frame."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

# what OpenCV's packages can encode, by a file's ending
CODECS = {
    '.avi': 'MJPG',
    '.mkv': 'mp4v',
    '.mov': 'mp4v',
    '.mp4': 'mp4v',
    '.webm': 'VP90',
}


class VideoReader:
    """The frames of a video file, one after the other.

    Args:
        path (str): The file.

    Attributes:
        fps (float): Frames per second; NaN if the file does not say.
        size (tuple[int, int]): Width and height in pixels.
        announced (int | None): How many frames the file says it has; ``None``
            if it does not say.
        read (int): How many frames were read so far.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it is no video, or no frame of it can be read.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f'there is no video {path}')
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ValueError(
                f'{path} cannot be read as a video: it is none, or broken, or '
                'of a codec that OpenCV does not know')
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < math.inf else math.nan
        announced = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.announced = int(announced) if 0 < announced < 2**31 else None
        self.read = 0
        there, self._first = self._capture.read()
        if not there:
            self.close()
            raise ValueError(f'{path} is a video without any frame that can '
                             'be read: it is empty or broken')
        # a file's own size is that before it is turned upright
        self.size = self._first.shape[1::-1]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Read on.

        Yields:
            np.ndarray: A frame, BGR uint8 in shape [H, W, 3].

        Raises:
            ValueError: If the size of frames changes.
        """
        while True:
            if self._first is not None:
                there, frame, self._first = True, self._first, None
            else:
                there, frame = self._capture.read()
            if not there:
                return
            if frame.shape[1::-1] != self.size:
                raise ValueError(
                    f'frame {self.read} of {self.path} has '
                    f'{frame.shape[1]}×{frame.shape[0]} pixels, those before '
                    f'it {self.size[0]}×{self.size[1]}: only videos of one '
                    'size can be read')
            self.read += 1
            yield frame

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *_) -> None:
        self.close()


class VideoWriter:
    """Writes a video file, frame by frame.

    Args:
        path (str): The file; its ending says the format, one of
            :data:`CODECS`.
        fps (float): Frames per second.
        size (tuple[int, int]): Width and height in pixels. Encoders want even
            numbers: of odd ones the last column or row is repeated.
        codec (str, optional): Four letters that say how it is encoded.
            Defaults to ``None``: that of :data:`CODECS`.

    Raises:
        ValueError: If it cannot be written like that.
    """

    def __init__(self, path: str, fps: float, size: tuple[int, int],
                 codec: str | None = None) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in CODECS:
            raise ValueError(f'{path} is to be a video: it must end in '
                             f'{", ".join(CODECS)}')
        codec = codec or CODECS[self.path.suffix.lower()]
        if len(codec) != 4:
            raise ValueError(f'a codec has four letters, such as mp4v, but is '
                             f'{codec!r}')
        self.size, self.written = size, 0
        self._padding = size[1] % 2, size[0] % 2
        self._writer = cv2.VideoWriter(
            str(path), cv2.VideoWriter_fourcc(*codec), fps,
            (size[0] + self._padding[1], size[1] + self._padding[0]))
        if not self._writer.isOpened():
            raise ValueError(
                f'OpenCV cannot write {path} with codec {codec} at {fps:g} '
                'frames per second: the folder cannot be written, or its '
                'encoder is not in this build. What OpenCV\'s packages can '
                'write: ' + ', '.join(
                    f'{name} in {suffix}' for suffix, name in CODECS.items()))

    def write(self, frame: np.ndarray) -> None:
        """Write a frame.

        Args:
            frame (np.ndarray): BGR uint8 in shape [H, W, 3].

        Raises:
            ValueError: If its size is another, which OpenCV would leave out
                silently.
        """
        if frame.shape[1::-1] != tuple(self.size):
            raise ValueError(f'a frame of {frame.shape[1]}×{frame.shape[0]} '
                             f'pixels does not fit the video of '
                             f'{self.size[0]}×{self.size[1]}')
        if any(self._padding):
            frame = cv2.copyMakeBorder(frame, 0, self._padding[0], 0,
                                       self._padding[1], cv2.BORDER_REPLICATE)
        self._writer.write(frame)
        self.written += 1

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: If it does not hold what was written, such as on a full
                disk, of which OpenCV says nothing.
        """
        self._writer.release()
        with VideoReader(str(self.path)) as video:
            if video.announced is not None and video.announced < self.written:
                raise OSError(
                    f'{self.path} holds {video.announced} of {self.written} '
                    'frames: is the disk full?')


@contextmanager
def written_whole(*paths: Path) -> Iterator[list[Path]]:
    """Write files together; if that fails, old ones stay whole.

    Args:
        *paths (Path): The files.

    Yields:
        list[Path]: Where to write each of them meanwhile, with its ending. One
        that is not written there stays as it is.
    """
    partials = [path.with_name(f'{path.stem}.partial{path.suffix}')
                for path in paths]
    try:
        yield partials
        for partial, path in zip(partials, paths, strict=True):
            if partial.exists():
                os.replace(partial, path)
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)
