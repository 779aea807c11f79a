import math
from pathlib import Path
from types import SimpleNamespace

from mmpose_wloss.apis.video_files import CODECS, VideoReader, VideoWriter

import cv2
import numpy as np
import pytest


def frames(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """A bright square that moves to the right, two pixels a frame."""
    pictures = np.full((count, height, width, 3), 40, np.uint8)
    for number, picture in enumerate(pictures):
        picture[20:40, 2 * number:2 * number + 20] = (200, 180, 160)
    return list(pictures)


def write(path: Path, pictures: list, lost: int = 0) -> Path:
    writer = VideoWriter(str(path), 12., pictures[0].shape[1::-1])
    for picture in pictures:
        writer.write(picture)
    writer.written += lost
    writer.close()
    return path


@pytest.mark.parametrize('suffix', sorted(CODECS))
def test_what_is_written_is_read(tmp_path, suffix):
    pictures = frames(6)
    video = VideoReader(write(tmp_path / f'clip{suffix}', pictures))
    assert video.fps == pytest.approx(12, rel=1e-3)
    assert video.size == (96, 64) and video.announced == 6
    found = list(video)
    assert len(found) == video.read == 6
    for one, two in zip(pictures, found, strict=True):
        assert np.abs(one.astype(int) - two).mean() < 6
    # of odd sizes a column and a row may be left out
    video = VideoReader(write(tmp_path / f'odd{suffix}', frames(3, 97, 65)))
    assert video.size in [(96, 64), (97, 65)] and len(list(video)) == 3


def test_no_video(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.mp4'):
        VideoReader(str(tmp_path / 'none.mp4'))
    text, empty = tmp_path / 'text.mp4', tmp_path / 'empty.avi'
    text.write_text('no video')
    # a container without any frame
    cv2.VideoWriter(str(empty), cv2.VideoWriter_fourcc(*'MJPG'), 10, (64, 64)).release()
    for file in (text, empty):
        with pytest.raises(ValueError, match=file.name):
            VideoReader(str(file))


@pytest.fixture
def stream(tmp_path, monkeypatch):
    """Gives a reader of these pictures, of which OpenCV says such numbers."""
    def read(pictures, said) -> VideoReader:
        (tmp_path / 'stream.mp4').touch()
        left = iter(pictures)
        monkeypatch.setattr(cv2, 'VideoCapture', lambda _: SimpleNamespace(
            read=lambda: (True, next(left, None)), get=lambda _: said))
        return VideoReader(str(tmp_path / 'stream.mp4'))
    return read


@pytest.mark.parametrize('said', [0., -1., math.nan, -9e18, math.inf])
def test_a_file_that_does_not_say_what_it_holds(stream, said):
    video = stream(frames(3), said)
    assert video.fps is None and video.announced is None
    assert len(list(video)) == 3


def test_frames_of_another_size(stream):
    with pytest.raises(ValueError, match='frame 2 of .*32×32 .* 96×64'):
        list(stream(frames(2) + frames(1, 32, 32), 25.))


@pytest.mark.parametrize('name', ['out.txt', 'folder/out.mp4'])
def test_what_cannot_be_written(tmp_path, name):
    with pytest.raises(ValueError, match=name):
        VideoWriter(str(tmp_path / name), 25., (64, 64))


def test_frames_that_were_lost(tmp_path):
    with pytest.raises(OSError, match='4 of 5 frames'):
        write(tmp_path / 'out.mp4', frames(4), lost=1)
