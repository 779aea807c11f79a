import hashlib
import json
import runpy
import sys
from pathlib import Path

from mmpose_wloss.apis import (
    BoxesFile,
    TopdownPredictor,
    predict_video,
    video_files,
    whole_frames,
)
from mmpose_wloss.apis.video import VideoFiles
from mmpose_wloss.apis.video_files import VideoReader, VideoWriter

import cv2
import numpy as np
import pytest
from PIL import Image

TOOL = Path(__file__).parents[2] / 'tools' / 'video_demo.py'
BOXES = {'0': [[0, 0, 60, 96]], '3': [[10, 10, 90, 90, 1], [30, 0, 128, 96, 0.5]],
         '4': [], '9': [[40, 10, 128, 90]]}


def run_tool(*arguments) -> int:
    argv = sys.argv
    sys.argv = ['video_demo.py', *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
    finally:
        sys.argv = argv
    return end.value.code


@pytest.fixture(scope='module')
def predictor(topdown_config, topdown_checkpoint):
    return TopdownPredictor(topdown_config, topdown_checkpoint, device='cpu',
                            batch_size=4)


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


def read(out: Path, name: str = 'square.json') -> dict:
    return json.loads((out / name).read_text())


def test_what_is_written(predictor, video, topdown_checkpoint, tmp_path):
    summary = predict_video(predictor, video, str(tmp_path))
    assert (summary.frames, summary.people, summary.notes) == (10, 10, [])
    assert [file.name for file in summary.files] == [
        'square.mp4', 'square.json']
    assert sorted(tmp_path.iterdir()) == sorted(summary.files)
    content = read(tmp_path)
    frames = content.pop('frames')
    digest = hashlib.sha256(Path(topdown_checkpoint).read_bytes()).hexdigest()
    assert content == dict(
        format=1, video='square.mp4', fps=12., width=128, height=96,
        joints=list(predictor.joints), model=dict(
            weights='epoch_1.pth', sha256=digest, flip_test=True))
    assert [frame['frame'] for frame in frames] == list(range(10))
    with VideoReader(video) as reader:
        originals = list(reader)
    for frame, image in zip(frames, originals, strict=True):
        assert frame['boxes'] == [[0, 0, 128, 96]]
        people, = predictor.predict([image], whole_frames([image]))
        np.testing.assert_allclose(frame['keypoints'], people.keypoints,
                                   atol=0.05)
        np.testing.assert_allclose(frame['scores'], people.keypoint_scores,
                                   atol=1e-3)
    with VideoReader(str(tmp_path / 'square.mp4')) as reader:
        assert reader.fps == 12 and reader.size == (128, 96)
        drawn = list(reader)
    assert len(drawn) == 10
    # skeletons have colours, the video's noise has few
    for frame, image in zip(drawn, originals, strict=True):
        assert np.abs(frame.astype(int) - image).max() > 100


def test_the_threshold_only_draws_less(predictor, video, tmp_path):
    predict_video(predictor, video, str(tmp_path / 'all.mp4'), kpt_thr=0.)
    predict_video(predictor, video, str(tmp_path / 'none.mp4'), kpt_thr=1e9)
    assert (tmp_path / 'all.json').read_text() == (
        tmp_path / 'none.json').read_text()
    differences = []
    for name in ('all', 'none'):
        with VideoReader(video) as one, VideoReader(
                str(tmp_path / f'{name}.mp4')) as two:
            differences.append(np.mean([
                np.abs(a.astype(int) - b).mean()
                for a, b in zip(one, two, strict=True)]))
    assert differences[0] > 2 * differences[1]


def test_colours_are_those_of_the_dataset(predictor, tmp_path):
    """Left is green, right orange, in the order of channels of a video."""
    from mmpose_wloss.apis.video import _draw, _painter
    painter = _painter((128, 96), predictor.metainfo)
    people = predictor.predict(
        [np.zeros((96, 128, 3), np.uint8)], [[[0, 0, 128, 96]]])[0]
    people.keypoints[:] = 0
    people.keypoints[0, 9] = 30, 40
    people.keypoints[0, 10] = 90, 40
    people.keypoint_scores[:] = 0
    people.keypoint_scores[0, 9:11] = 1
    drawn = _draw(painter, np.zeros((96, 128, 3), np.uint8), people, 0.5)
    assert drawn[40, 30].tolist() == [0, 255, 0]
    assert drawn[40, 90].tolist() == [0, 128, 255]
    assert (drawn.any(-1).sum()) < 60


@pytest.mark.parametrize('as_list', [False, True])
def test_boxes_of_a_file(predictor, video, boxes_file, tmp_path, as_list):
    if as_list:
        Path(boxes_file).write_text(json.dumps(
            [BOXES.get(str(number), []) for number in range(10)]))
    summary = predict_video(predictor, video, str(tmp_path),
                            BoxesFile(boxes_file))
    assert (summary.frames, summary.people) == (10, 4)
    frames = read(tmp_path)['frames']
    counts = [len(frame['boxes']) for frame in frames]
    assert counts == [1, 0, 0, 2, 0, 0, 0, 0, 0, 1]
    assert frames[3]['box_scores'] == [1, 0.5]
    assert np.shape(frames[3]['keypoints']) == (2, 17, 2)
    assert np.shape(frames[3]['scores']) == (2, 17)
    assert frames[4] == dict(frame=4, boxes=[], box_scores=[], keypoints=[],
                             scores=[])


@pytest.mark.parametrize('batch_size', [1, 3, 10, 64])
def test_batches_change_nothing(topdown_config, topdown_checkpoint, predictor,
                                video, boxes_file, tmp_path, batch_size):
    in_memory = []

    class Boxes(BoxesFile):
        def __call__(self, frames, first):
            in_memory.append((first, len(frames)))
            return super().__call__(frames, first)

    other = TopdownPredictor(topdown_config, topdown_checkpoint, device='cpu',
                             batch_size=batch_size)
    boxes = Boxes(boxes_file)
    predict_video(other, video, str(tmp_path / 'one.mp4'), boxes)
    assert in_memory == [(first, min(batch_size, 10 - first))
                         for first in range(0, 10, batch_size)]
    predict_video(predictor, video, str(tmp_path / 'two.mp4'), boxes)
    one, two = (read(tmp_path, name)['frames']
                for name in ('one.json', 'two.json'))
    for first, second in zip(one, two, strict=True):
        assert first['boxes'] == second['boxes']
        np.testing.assert_allclose(
            first['keypoints'], second['keypoints'], atol=0.05)


def test_a_part_of_a_video(predictor, video, boxes_file, tmp_path):
    summary = predict_video(predictor, video, str(tmp_path),
                            BoxesFile(boxes_file), max_frames=5)
    # the file's boxes of frame 9 are not amiss here
    assert (summary.frames, summary.people, summary.notes) == (5, 3, [])
    assert len(read(tmp_path)['frames']) == 5


def test_pictures(predictor, video, tmp_path):
    summary = predict_video(predictor, video, str(tmp_path), sheet=4, gif=True)
    assert [file.name for file in summary.files] == [
        'square.mp4', 'square.json', 'square_sheet.png', 'square.gif']
    # two rows of two
    assert cv2.imread(str(summary.files[2])).shape == (196, 260, 3)
    with Image.open(summary.files[3]) as gif:
        assert gif.n_frames == 10
    text = str(summary)
    assert '10 frames with 10 people' in text and 'of the network alone' in text
    for part in ('decoding', 'crops', 'network', 'drawing', 'pictures'):
        assert f'{part} ' in text
    assert sum(summary.parts.values()) <= summary.seconds


def test_a_truncated_video(predictor, tmp_path, capsys):
    file = tmp_path / 'cut.avi'
    writer = VideoWriter(str(file), 10, (64, 64))
    for frame in np.random.default_rng(0).integers(
            0, 255, (12, 64, 64, 3), np.uint8):
        writer.write(frame)
    writer.close()
    file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
    (tmp_path / 'boxes.json').write_text(json.dumps({'11': [[0, 0, 9, 9]]}))
    summary = predict_video(predictor, str(file), str(tmp_path),
                            BoxesFile(str(tmp_path / 'boxes.json')))
    assert 0 < summary.frames < 12
    truncated, beyond = summary.notes
    assert f'cut.avi says it has 12 frames, but {summary.frames} could be ' in (
        truncated)
    assert 'boxes of 1 frames after' in beyond
    assert len(read(tmp_path, 'cut.json')['frames']) == summary.frames
    assert truncated in str(summary)


def test_a_video_that_does_not_say_how_fast_it_is(
        predictor, video, tmp_path, monkeypatch):
    get = cv2.VideoCapture.get

    class Capture:
        def __init__(self, path):
            self.capture = cv2_capture(path)

        def get(self, key):
            return (0. if key == cv2.CAP_PROP_FPS else
                    get(self.capture, key))

        def __getattr__(self, name):
            return getattr(self.capture, name)

    cv2_capture = cv2.VideoCapture
    monkeypatch.setattr(video_files.cv2, 'VideoCapture', Capture)
    summary = predict_video(predictor, video, str(tmp_path))
    assert 'written at 25 frames per second' in summary.notes[0]
    assert read(tmp_path)['fps'] == 25


class Failing:
    """Boxes that fail in the middle of a video."""

    def __call__(self, frames, first):
        if first:
            raise RuntimeError('in the middle')
        return whole_frames(frames)


def test_a_failed_run_leaves_old_files_whole(predictor, video, tmp_path):
    files = VideoFiles.at(str(tmp_path), video)
    for file in files:
        file.write_text('old')
    with pytest.raises(RuntimeError, match='in the middle'):
        predict_video(predictor, video, str(tmp_path), Failing(), sheet=4,
                      gif=True)
    with pytest.raises(ValueError, match='codec nope'):
        predict_video(predictor, video, str(tmp_path), codec='nope')
    assert [file.read_text() for file in files] == ['old'] * 4
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_where_files_go(tmp_path, video):
    assert VideoFiles.at('out', 'clips/a.b.avi') == tuple(map(Path, (
        'out/a.b.mp4', 'out/a.b.json', 'out/a.b_sheet.png', 'out/a.b.gif')))
    assert VideoFiles.at('out/x.webm', 'a.avi').video == Path('out/x.webm')
    with pytest.raises(ValueError, match='is the video that is read'):
        VideoFiles.at(str(Path(video).parent), video)


@pytest.mark.parametrize(('wrong', 'error'), [
    (dict(max_frames=0), 'at least 1 frame is to be read, but max_frames is 0'),
    (dict(sheet=-1), 'cannot be fewer than none, but are -1'),
])
def test_wrong_arguments(predictor, video, tmp_path, wrong, error):
    with pytest.raises(ValueError, match=error):
        predict_video(predictor, video, str(tmp_path / 'out'), **wrong)
    assert not (tmp_path / 'out').exists()


def test_the_tool(config_file, topdown_checkpoint, video, boxes_file, tmp_path,
                  capsys):
    assert run_tool(config_file, topdown_checkpoint, video, '--out', tmp_path,
                    '--boxes', boxes_file, '--batch-size', 3, '--no-flip',
                    '--max-frames', 4, '--sheet', 2, '--gif', '--device',
                    'cpu', '--kpt-thr', 0) == 0
    said = capsys.readouterr()
    assert '4 frames with 3 people' in said.out
    assert 'frame/s' in said.err  # the progress bar
    assert not read(tmp_path)['model']['flip_test']
    assert {'square.mp4', 'square_sheet.png', 'square.gif'} < {
        file.name for file in tmp_path.iterdir()}


def test_the_tool_runs_onnx(config_file, topdown_config, topdown_checkpoint,
                            video, tmp_path):
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed')
    pytest.importorskip('onnx', reason='onnx is not installed')
    from mmpose_wloss.deploy import export_onnx
    file = tmp_path / 'tiny.onnx'
    export_onnx(topdown_config, topdown_checkpoint, str(file))
    for name, weights in (('onnx', file), ('torch', topdown_checkpoint)):
        assert run_tool(config_file, weights, video, '--device', 'cpu',
                        '--out', tmp_path / f'{name}.mp4') == 0
    one, two = (read(tmp_path, f'{name}.json') for name in ('onnx', 'torch'))
    assert one['model']['weights'] == 'tiny.onnx'
    for first, second in zip(one['frames'], two['frames'], strict=True):
        np.testing.assert_allclose(
            first['keypoints'], second['keypoints'], atol=0.1)


@pytest.mark.parametrize(('arguments', 'error'), [
    (('none.mp4', ), 'there is no video none.mp4'),
    ((TOOL, ), 'video_demo.py cannot be read as a video'),
    (('{video}', '--boxes', 'none.json'), 'there is no file none.json'),
    (('{video}', '--boxes', 'people'), '--boxes must be whole, a .json file'),
    (('{video}', '--boxes', 'none.py'), 'needs its checkpoint'),
    (('{video}', '--out', '{video}'), 'is the video that is read'),
    (('{video}', '--batch-size', 0), 'batch size must be at least 1'),
    (('{video}', '--network', 'third'), "there is no network 'third'"),
])
def test_the_tool_names_what_is_wrong(config_file, topdown_checkpoint, video,
                                      tmp_path, capsys, arguments, error):
    arguments = [str(one).replace('{video}', video) for one in arguments]
    out = () if '--out' in arguments else ('--out', tmp_path)
    assert run_tool(config_file, topdown_checkpoint, *arguments, *out,
                    '--device', 'cpu') == 1
    assert error in capsys.readouterr().err


def test_the_tool_is_interrupted(config_file, topdown_checkpoint, video,
                                 capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmpose_wloss.apis.predict_video', interrupted)
    assert run_tool(config_file, topdown_checkpoint, video, '--device',
                    'cpu') == 130
    assert 'interrupted: nothing was written' in capsys.readouterr().err


def test_the_tool_wants_files(topdown_checkpoint, config_file, video, capsys):
    assert run_tool('none.py', topdown_checkpoint, video) == 1
    assert 'There is no config none.py' in capsys.readouterr().err
    for weights in ('none.pth', 'none.onnx'):
        assert run_tool(config_file, weights, video) == 1
        assert weights in capsys.readouterr().err
