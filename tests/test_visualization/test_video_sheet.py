from mmpose_wloss.apis.video_files import VideoWriter
from mmpose_wloss.visualization.video_sheet import write_gif, write_sheet

import cv2
import numpy as np
import pytest
from PIL import Image, ImageSequence


@pytest.fixture(scope='module')
def video(tmp_path_factory):
    """Fifty frames that become brighter, at 25 frames a second."""
    file = str(tmp_path_factory.mktemp('video') / 'clip.mp4')
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(
        rng.integers(0, 60, (120, 160, 3), dtype=np.uint8), (0, 0), 2)
    writer = VideoWriter(file, 25., (160, 120))
    for number in range(50):
        writer.write(noise + np.uint8(3 * number))
    writer.close()
    return file


def test_a_sheet_of_evenly_spaced_frames(video, tmp_path):
    file = str(tmp_path / 'sheet.png')
    assert write_sheet(video, 6, file) == 6
    sheet = cv2.imread(file)
    # two rows of three, four pixels between them
    assert sheet.shape == (2 * 120 + 4, 3 * 160 + 8, 3)
    tiles = [sheet[top:top + 120, left:left + 160].mean()
             for top in (0, 124) for left in (0, 164, 328)]
    steps = np.diff(tiles)
    assert (steps > 20).all() and np.ptp(steps) < 5
    assert tiles[-1] - tiles[0] == pytest.approx(3 * 49, abs=5)


def test_a_sheet_of_more_frames_than_there_are(video, tmp_path):
    assert write_sheet(video, 100, str(tmp_path / 'sheet.png')) == 50
    with pytest.raises(ValueError, match='at least 1 frame, but is to have 0'):
        write_sheet(video, 0, str(tmp_path / 'sheet.png'))


def test_a_large_frame_becomes_small(tmp_path):
    file = str(tmp_path / 'large.mp4')
    writer = VideoWriter(file, 25., (800, 400))
    writer.write(np.zeros((400, 800, 3), np.uint8))
    writer.close()
    write_sheet(file, 1, str(tmp_path / 'sheet.png'))
    assert cv2.imread(str(tmp_path / 'sheet.png')).shape == (160, 320, 3)


@pytest.mark.parametrize('limit', [300_000, 20_000])
def test_a_gif_keeps_time_and_its_limit(video, tmp_path, limit):
    file = tmp_path / 'clip.gif'
    size = write_gif(video, str(file), limit)
    assert size == file.stat().st_size <= limit
    with Image.open(file) as picture:
        assert picture.info['loop'] == 0
        frames = [(frame.info['duration'], np.asarray(
            frame.convert('RGB')).mean())
            for frame in ImageSequence.Iterator(picture)]
    seconds = sum(duration for duration, _ in frames) / 1000
    assert seconds == pytest.approx(2, rel=0.1)
    assert np.all(np.diff([mean for _, mean in frames]) > 0)
    assert picture.size[0] == 160 or limit == 20_000


def test_a_gif_that_cannot_be_small_enough(video, tmp_path):
    file = tmp_path / 'clip.gif'
    assert write_gif(video, str(file), 100) == file.stat().st_size > 100
    with Image.open(file) as picture:
        assert picture.n_frames == 8 and picture.size == (96, 72)
