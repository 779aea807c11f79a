import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

from mmpose_wloss.__main__ import main
from mmpose_wloss.apis import BoxesFile, predict_video, whole_frames
from mmpose_wloss.apis.video_files import VideoReader, VideoWriter
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets.metainfo import metainfo_of_category

import numpy as np
import pytest
from lamps import CATEGORY, KEYPOINTS
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo

BOXES = {'0': [[0, 0, 60, 96]], '3': [[10, 10, 90, 90, 1], [30, 0, 128, 96, 0.5]],
         '4': [], '9': [[40, 10, 128, 90]]}


@pytest.fixture(scope='module')
def config_file(topdown_config, tmp_path_factory):
    file = tmp_path_factory.mktemp('topdown_config') / 'tiny.py'
    topdown_config.dump(file)
    return str(file)


@pytest.fixture
def boxes_file(tmp_path):
    file = tmp_path / 'boxes.json'
    file.write_text(json.dumps(BOXES))
    return str(file)


def write(file: Path, frames) -> None:
    writer = VideoWriter(str(file), 12., frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.close()


def read(out: Path, name: str = 'square.json') -> dict:
    return json.loads((out / name).read_text())


def test_what_is_written(predictor, video, topdown_checkpoint, tmp_path):
    summary = predict_video(predictor, video, str(tmp_path / 'new'))
    assert (summary.frames, summary.people, summary.notes) == (10, 10, [])
    assert [file.name for file in summary.files] == ['square.mp4', 'square.json']
    assert sorted((tmp_path / 'new').iterdir()) == sorted(summary.files)
    assert '10 frames with 10 people' in str(summary)
    assert 0 < summary.predicting < summary.seconds
    content = read(tmp_path / 'new')
    frames = content.pop('frames')
    digest = hashlib.sha256(Path(topdown_checkpoint).read_bytes()).hexdigest()
    assert content == dict(
        format=1, video='square.mp4', fps=12., width=128, height=96,
        joints=list(predictor.joints), model=dict(
            weights='epoch_1.pth', sha256=digest, flip_test=True))
    assert [frame['frame'] for frame in frames] == list(range(10))
    originals = list(VideoReader(video))
    for frame, image in zip(frames, originals, strict=True):
        assert frame['boxes'] == [[0, 0, 128, 96]]
        people, = predictor.predict([image], whole_frames([image]))
        np.testing.assert_allclose(frame['keypoints'], people.keypoints, atol=0.05)
        np.testing.assert_allclose(frame['scores'], people.keypoint_scores, atol=1e-3)
    drawn = VideoReader(summary.files[0])
    assert drawn.fps == 12 and drawn.size == (128, 96)
    # skeletons have colors, the video's noise has few
    for frame, image in zip(drawn, originals, strict=True):
        assert np.abs(frame.astype(int) - image).max() > 100


def test_colors_are_those_of_the_dataset(predictor, tmp_path, monkeypatch):
    """Left is green, right orange, in the order of channels of a video."""
    frame = np.zeros((96, 128, 3), np.uint8)
    people, = predictor.predict([frame], whole_frames([frame]))
    people.keypoints[:] = 0
    people.keypoints[0, 9:11] = (30, 40), (90, 40)
    people.keypoint_scores[:] = 0
    people.keypoint_scores[0, 9:11] = 1
    monkeypatch.setattr(predictor, 'predict', lambda *_: [people])
    write(tmp_path / 'black.mp4', [frame])
    drawn = []
    monkeypatch.setattr(VideoWriter, 'write', lambda self, frame: (
        drawn.append(frame), self._writer.write(frame)))
    predict_video(predictor, str(tmp_path / 'black.mp4'),
                  str(tmp_path / 'out.mp4'), kpt_thr=0.5)
    assert drawn[0][40, 30].tolist() == [0, 255, 0]
    assert drawn[0][40, 90].tolist() == [0, 128, 255]
    # joints below the threshold are written, but not drawn
    assert drawn[0].any(-1).sum() < 60
    assert np.shape(read(tmp_path, 'out.json')['frames'][0]['keypoints']) == (1, 17, 2)


def test_a_dataset_without_bones(predictor, video, tmp_path, monkeypatch):
    monkeypatch.setattr(predictor, 'metainfo', dict(
        predictor.metainfo, skeleton_links=[], skeleton_link_colors=np.array([])))
    summary = predict_video(predictor, video, str(tmp_path), kpt_thr=-1, max_frames=1)
    drawn, = VideoReader(summary.files[0])
    assert np.abs(drawn.astype(int) - next(iter(VideoReader(video)))).max() > 100


@pytest.mark.parametrize('batch_size', [3, 64])
def test_boxes_of_a_file_in_batches(predictor, video, boxes_file, tmp_path,
                                    monkeypatch, batch_size):
    in_memory = []

    class Boxes(BoxesFile):
        def __call__(self, frames, first):
            in_memory.append((first, len(frames)))
            return super().__call__(frames, first)

    monkeypatch.setattr(predictor, 'batch_size', batch_size)
    summary = predict_video(predictor, video, str(tmp_path), Boxes(boxes_file))
    assert (summary.frames, summary.people) == (10, 4)
    assert in_memory == [(first, min(batch_size, 10 - first))
                         for first in range(0, 10, batch_size)]
    frames = read(tmp_path)['frames']
    assert [len(frame['boxes']) for frame in frames] == [1, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    assert frames[3]['box_scores'] == [1, 0.5]
    assert np.shape(frames[3]['keypoints']) == (2, 17, 2)
    assert np.shape(frames[3]['scores']) == (2, 17)
    assert frames[4] == dict(frame=4, boxes=[], box_scores=[], keypoints=[], scores=[])


def test_a_truncated_video(predictor, tmp_path):
    file = tmp_path / 'cut.avi'
    write(file, np.random.default_rng(0).integers(0, 255, (12, 64, 64, 3), np.uint8))
    file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
    summary = predict_video(predictor, str(file), str(tmp_path))
    assert 0 < summary.frames < 12
    note, = summary.notes
    assert 'cut.avi' in note and f'12 frames, but {summary.frames} ' in note
    assert len(read(tmp_path, 'cut.json')['frames']) == summary.frames
    assert note in str(summary)


def test_a_video_that_does_not_say_how_fast_it_is(predictor, video, tmp_path,
                                                  monkeypatch):
    class Reader(VideoReader):
        def __init__(self, path):
            super().__init__(path)
            self.fps = None

    monkeypatch.setattr('mmpose_wloss.apis.video.VideoReader', Reader)
    summary = predict_video(predictor, video, str(tmp_path))
    assert '25 frames per second' in summary.notes[0]
    assert read(tmp_path)['fps'] == 25


def test_a_failed_run_leaves_old_files_whole(predictor, video, tmp_path):
    files = [tmp_path / name for name in ('square.json', 'square.mp4')]
    for file in files:
        file.write_text('old')

    def fail(frames, first):
        if first:
            raise RuntimeError('in the middle')
        return whole_frames(frames)

    with pytest.raises(RuntimeError, match='in the middle'):
        predict_video(predictor, video, str(tmp_path), fail)
    assert [file.read_text() for file in files] == ['old'] * 2
    assert sorted(tmp_path.iterdir()) == files


def test_boxes_beside_the_video_stay(predictor, video, tmp_path):
    file = tmp_path / 'square.json'
    file.write_text(json.dumps(BOXES))
    with pytest.raises(UserError, match='square.json'):
        predict_video(predictor, video, str(tmp_path), BoxesFile(str(file)))
    assert [json.loads(each.read_text()) for each in tmp_path.iterdir()] == [BOXES]


def test_the_command(config_file, topdown_checkpoint, video, boxes_file,
                     tmp_path, capsys):
    assert main(['video', config_file, topdown_checkpoint, video, '--out',
                 str(tmp_path / 'a.b.webm'), '--boxes', boxes_file, '--no-flip',
                 '--batch-size', '3', '--max-frames', '4', '--device', 'cpu',
                 '--kpt-thr', '0']) == 0
    said = capsys.readouterr()
    assert '4 frames with 3 people' in said.out
    assert 'frame/s' in said.err  # the progress bar
    assert 'truncated' not in said.out
    assert not read(tmp_path, 'a.b.json')['model']['flip_test']
    assert (tmp_path / 'a.b.webm').is_file()


def test_the_command_runs_onnx(config_file, onnx_file, video, tmp_path):
    assert main(['video', config_file, onnx_file, video, '--out', str(tmp_path)]) == 0
    content = read(tmp_path)
    assert content['model']['weights'] == Path(onnx_file).name
    assert np.shape([frame['keypoints'] for frame in content['frames']]) == (
        10, 1, 17, 2)


@pytest.mark.parametrize(('arguments', 'named'), [
    (('{config}', '{weights}', 'none.mp4'), 'none.mp4'),
    (('{config}', '{weights}', __file__), 'test_video.py'),
    (('{config}', '{weights}', '{video}', '--boxes', 'people'), '--boxes'),
    (('{config}', '{weights}', '{video}', '--out', '{video}'), 'square.mp4'),
    (('{config}', '{weights}', '{video}', '--max-frames', '0'), 'max_frames'),
    (('none.py', '{weights}', '{video}'), 'none.py'),
])
def test_the_command_names_what_is_wrong(
        config_file, topdown_checkpoint, video, tmp_path, capsys, monkeypatch,
        arguments, named):
    monkeypatch.chdir(tmp_path)
    values = dict(config=config_file, weights=topdown_checkpoint, video=video)
    assert main(['video', *(one.format(**values) for one in arguments)]) == 1
    error = capsys.readouterr().err
    assert error.startswith('error: ') and named in error
    assert not list(tmp_path.iterdir())


def test_joints_of_any_object_are_drawn_in_their_colors(tmp_path):
    metainfo = parse_pose_metainfo(metainfo_of_category(CATEGORY))
    places = np.array([[20, 100], [20, 20], [70, 20], [110, 60], [110, 110]])

    def predict(images, boxes):
        return [InstanceData(
            keypoints=places[None].astype(np.float32), keypoint_scores=np.ones((1, 5)),
            bboxes=given[:, :4], bbox_scores=given[:, 4]) for given in boxes]

    weights = tmp_path / 'weights.pth'
    weights.touch()
    write(tmp_path / 'gray.mp4', 2 * [np.full((128, 128, 3), 60, np.uint8)])
    predictor = SimpleNamespace(
        predict=predict, metainfo=metainfo, joints=KEYPOINTS, weights=weights,
        flip_test=True, batch_size=2)
    predict_video(predictor, str(tmp_path / 'gray.mp4'), str(tmp_path / 'out'))
    frame = next(iter(VideoReader(str(tmp_path / 'out' / 'gray.mp4'))))[..., ::-1]
    for joint, (x, y) in enumerate(places):
        hue, drawn = (np.argsort(color) for color in (
            metainfo['keypoint_colors'][joint].astype(int), frame[y, x].astype(int)))
        # a codec keeps no color, but which channel is the strongest
        assert hue[-1] == drawn[-1], KEYPOINTS[joint]
    # links from base to elbow and between the ends of the shade
    assert np.ptp(frame[60, 20].astype(int)) > 60 < np.ptp(frame[85, 110].astype(int))
    assert np.ptp(frame[60, 60].astype(int)) < 30
