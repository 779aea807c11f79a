import math
from pathlib import Path

from mmpose_wloss.apis.video_files import CODECS, VideoReader, VideoWriter

import cv2
import numpy as np
import pytest


def frames(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    """A bright square that moves to the right, two pixels a frame."""
    pictures = []
    for number in range(count):
        picture = np.full((height, width, 3), 40, np.uint8)
        picture[20:40, 2 * number:2 * number + 20] = (200, 180, 160)
        pictures.append(picture)
    return pictures


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


@pytest.mark.parametrize('suffix', sorted(CODECS))
def test_of_odd_sizes_a_column_and_a_row_are_left_out(tmp_path, suffix):
    video = VideoReader(write(tmp_path / f'odd{suffix}', frames(3, 97, 65)))
    assert video.size in [(96, 64), (97, 65)] and len(list(video)) == 3


def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path):
    file = write(tmp_path / 'whole.avi', frames(20))
    content = file.read_bytes()
    file.write_bytes(content[:len(content) // 2])
    video = VideoReader(file)
    assert 0 < len(list(video)) == video.read < video.announced == 20


def test_no_video(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.mp4'):
        VideoReader(str(tmp_path / 'none.mp4'))
    text, empty = tmp_path / 'text.mp4', tmp_path / 'empty.avi'
    text.write_text('no video')
    # a container without any frame
    cv2.VideoWriter(str(empty), cv2.VideoWriter_fourcc(*'MJPG'), 10,
                    (64, 64)).release()
    for file in (text, empty):
        with pytest.raises(ValueError, match=file.name):
            VideoReader(str(file))


class Capture:
    """Stands for OpenCV's, of a file that says nothing of itself."""

    def __init__(self, pictures, said):
        self.pictures, self.said = iter(pictures), said

    def read(self):
        picture = next(self.pictures, None)
        return picture is not None, picture

    def get(self, _):
        return self.said


@pytest.mark.parametrize('said', [0., -1., math.nan, -9e18, math.inf])
def test_a_file_that_does_not_say_what_it_holds(tmp_path, monkeypatch, said):
    file = tmp_path / 'stream.mp4'
    file.touch()
    monkeypatch.setattr(cv2, 'VideoCapture', lambda _: Capture(frames(3), said))
    video = VideoReader(str(file))
    assert video.fps is None and video.announced is None
    assert len(list(video)) == 3


def test_frames_of_another_size(tmp_path, monkeypatch):
    file = tmp_path / 'changes.mp4'
    file.touch()
    pictures = frames(2) + frames(1, 32, 32)
    monkeypatch.setattr(cv2, 'VideoCapture', lambda _: Capture(pictures, 25.))
    with pytest.raises(ValueError, match='frame 2 of .*32×32 .* 96×64'):
        list(VideoReader(str(file)))


@pytest.mark.parametrize('name', ['out.txt', 'folder/out.mp4'])
def test_what_cannot_be_written(tmp_path, name):
    with pytest.raises(ValueError, match=name):
        VideoWriter(str(tmp_path / name), 25., (64, 64))


def test_frames_that_were_lost(tmp_path):
    with pytest.raises(OSError, match='4 of 5 frames'):
        write(tmp_path / 'out.mp4', frames(4), lost=1)
