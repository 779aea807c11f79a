import math
from pathlib import Path

from mmpose_wloss.apis.video_files import (
    CODECS,
    VideoReader,
    VideoWriter,
    written_whole,
)

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


def write(path: Path, pictures: list, fps: float = 12.) -> Path:
    writer = VideoWriter(str(path), fps, pictures[0].shape[1::-1])
    for picture in pictures:
        writer.write(picture)
    writer.close()
    return path


@pytest.mark.parametrize('suffix', sorted(CODECS))
def test_what_is_written_is_read(tmp_path, suffix):
    pictures = frames(10)
    file = write(tmp_path / f'clip{suffix}', pictures)
    with VideoReader(str(file)) as video:
        assert video.fps == pytest.approx(12, rel=1e-3)
        assert video.size == (96, 64) and video.announced == 10
        found = list(video)
    assert len(found) == video.read == 10
    for one, two in zip(pictures, found, strict=True):
        assert np.abs(one.astype(int) - two).mean() < 6


def test_odd_sizes_lose_nothing(tmp_path):
    file = write(tmp_path / 'odd.mp4', frames(3, 97, 65))
    with VideoReader(str(file)) as video:
        assert video.size == (98, 66)


def test_a_truncated_file_is_read_as_far_as_it_goes(tmp_path):
    file = write(tmp_path / 'whole.avi', frames(20))
    content = file.read_bytes()
    file.write_bytes(content[:len(content) // 2])
    with VideoReader(str(file)) as video:
        count = len(list(video))
    assert 0 < count < 20 and video.read == count and video.announced == 20


def test_no_video(tmp_path):
    with pytest.raises(FileNotFoundError, match='there is no video .*none.mp4'):
        VideoReader(str(tmp_path / 'none.mp4'))
    file = tmp_path / 'text.mp4'
    file.write_text('no video')
    with pytest.raises(ValueError, match='text.mp4 cannot be read as a video'):
        VideoReader(str(file))
    # a container without any frame
    file = tmp_path / 'empty.avi'
    cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*'MJPG'), 10,
                    (64, 64)).release()
    with pytest.raises(ValueError, match='empty.avi'):
        VideoReader(str(file))


class Capture:
    """Stands for OpenCV's, of a file that says nothing of itself."""

    def __init__(self, pictures, said):
        self.pictures, self.said = iter(pictures), said

    def read(self):
        picture = next(self.pictures, None)
        return picture is not None, picture

    def isOpened(self):
        return True

    def get(self, _):
        return self.said

    def release(self):
        pass


@pytest.mark.parametrize('said', [0., -1., math.nan, -9e18, math.inf])
def test_a_file_that_does_not_say_what_it_holds(tmp_path, monkeypatch, said):
    file = tmp_path / 'stream.mp4'
    file.touch()
    monkeypatch.setattr(cv2, 'VideoCapture', lambda _: Capture(frames(3), said))
    with VideoReader(str(file)) as video:
        assert math.isnan(video.fps) and video.announced is None
        assert len(list(video)) == 3


def test_frames_of_another_size(tmp_path, monkeypatch):
    file = tmp_path / 'changes.mp4'
    file.touch()
    pictures = frames(2) + frames(1, 32, 32)
    monkeypatch.setattr(cv2, 'VideoCapture', lambda _: Capture(pictures, 25.))
    with pytest.raises(ValueError, match='frame 2 of .*32×32 .* 96×64'):
        list(VideoReader(str(file)))
    writer = VideoWriter(str(tmp_path / 'out.mp4'), 10, (96, 64))
    with pytest.raises(ValueError, match='32×32 pixels does not fit'):
        writer.write(pictures[-1])


@pytest.mark.parametrize(('name', 'codec', 'error'), [
    ('out.txt', None, 'must end in .avi, .mkv'),
    ('out.mp4', 'nope', 'cannot write .*out.mp4 with codec nope'),
    ('out.mp4', 'mpeg4', "four letters, such as mp4v, but is 'mpeg4'"),
    ('folder/out.mp4', None, 'folder cannot be written'),
])
def test_what_cannot_be_written(tmp_path, name, codec, error):
    with pytest.raises(ValueError, match=error):
        VideoWriter(str(tmp_path / name), 25., (64, 64), codec)


def test_frames_that_were_lost(tmp_path):
    writer = VideoWriter(str(tmp_path / 'out.mp4'), 10, (96, 64))
    for picture in frames(4):
        writer.write(picture)
    writer.written += 1
    with pytest.raises(OSError, match='holds 4 of 5 frames: is the disk full'):
        writer.close()


def test_files_are_written_together_or_not_at_all(tmp_path):
    files = [tmp_path / name for name in ('a.mp4', 'b.json', 'c.gif')]
    for file in files:
        file.write_text('old')
    with pytest.raises(RuntimeError), written_whole(*files) as partials:
        assert [partial.suffix for partial in partials] == [
            '.mp4', '.json', '.gif']
        partials[0].write_text('new')
        raise RuntimeError
    assert [file.read_text() for file in files] == ['old'] * 3
    with written_whole(*files) as partials:
        for partial in partials[:2]:
            partial.write_text('new')
    assert [file.read_text() for file in files] == ['new', 'new', 'old']
    assert sorted(tmp_path.iterdir()) == files
