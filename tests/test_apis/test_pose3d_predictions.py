import json
import runpy
import sys
from pathlib import Path

from mmpose_wloss.apis import TruthSheet, predict_images

import cv2
import numpy as np
import pytest
from mmpose.evaluation.metrics import MPJPE

TOOL = Path(__file__).parents[2] / 'tools' / 'infer_pose3d.py'
CAMERA = dict(f=[150., 150.], c=[64., 48.])


def run_tool(*arguments) -> int:
    argv = sys.argv
    sys.argv = ['infer_pose3d.py', *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
    finally:
        sys.argv = argv
    return end.value.code


def test_errors_are_those_of_the_metric(inferencer):
    sheet = TruthSheet(inferencer, 3)
    assert [error['id'] for error in sheet.errors] == [1, 2, 3]
    for name, mode in (('MPJPE', 'mpjpe'), ('P-MPJPE', 'p-mpjpe')):
        metric = MPJPE(mode=mode)
        metric.results = [dict(
            pred_coords=sample.pred_instances.keypoints,
            gt_coords=sample.gt_instances.lifting_target,
            mask=sample.gt_instances.lifting_target_visible.astype(bool),
            actions=np.array(['all'])) for sample in sheet.samples]
        mean = np.mean([error[name] for error in sheet.errors])
        assert metric.compute_metrics(metric.results)[name] == pytest.approx(
            mean, rel=1e-5)
        assert f'{mean:.1f}' in sheet.table().splitlines()[-1]


def test_more_samples_than_there_are(inferencer):
    assert len(TruthSheet(inferencer, 100).samples) == 4
    with pytest.raises(ValueError, match='at least 1, but is 0'):
        TruthSheet(inferencer, 0)


def test_the_tool_draws_samples(config_file, checkpoint, tmp_path, capsys):
    assert run_tool(config_file, checkpoint, '--dataset', 4, '--out',
                    tmp_path, '--device', 'cpu') == 0
    assert '| mean ' in capsys.readouterr().out
    samples = json.loads((tmp_path / 'errors.json').read_text())['samples']
    assert len(samples) == 4 and samples[0]['MPJPE'] > 0
    sheet = cv2.imread(str(tmp_path / 'sheet.png'))
    # two samples a row, each an image and two poses
    assert sheet.shape[1] > 2 * sheet.shape[0]
    assert sheet.std() > 10


def test_the_tool_leaves_out_what_it_cannot_read(
        config_file, checkpoint, images, tmp_path, capsys):
    folder = tmp_path / 'in'
    folder.mkdir()
    for index, image in enumerate(images[:2]):
        (folder / f'{index}.jpg').write_bytes(Path(image).read_bytes())
    (folder / 'broken.jpg').write_text('no image')
    (folder / 'notes.txt').write_text('no image either')
    camera, boxes = tmp_path / 'camera.json', tmp_path / 'boxes.json'
    camera.write_text(json.dumps(CAMERA))
    boxes.write_text(json.dumps({'0.jpg': [[25, 15, 105, 85],
                                           [10, 10, 50, 80]],
                                 '1.jpg': [],
                                 'broken.jpg': [[10, 10, 50, 80]]}))
    out = tmp_path / 'out'
    assert run_tool(config_file, checkpoint, folder, '--camera', camera,
                    '--root-depth', 4000, '--boxes', boxes, '--out', out,
                    '--device', 'cpu') == 0
    said = capsys.readouterr()
    assert '2 people in 2 images, 1 left out' in said.out
    assert 'broken.jpg is broken' in said.err
    people = json.loads((out / 'predictions' / '0.json').read_text())
    assert len(people) == 2 and 'keypoints_cam' in people[0]
    assert (out / 'predictions' / '1.json').read_text() == '[]'
    assert sorted(file.name for file in (out / 'visualizations').iterdir()
                  ) == ['0.png', '1.png']

    boxes.write_text(json.dumps({'0.jpg': [[10, 10, 50, 80]]}))
    assert run_tool(config_file, checkpoint, folder, '--boxes', boxes,
                    '--out', out, '--device', 'cpu') == 0
    said = capsys.readouterr()
    assert '1 people in 1 images, 2 left out' in said.out
    for name in ('1.jpg', 'broken.jpg'):
        assert f'left out: there is no entry for {name} in boxes' in said.err

    for file in ('0.jpg', '1.jpg'):
        (folder / file).unlink()
    assert run_tool(config_file, checkpoint, folder, '--out', out,
                    '--device', 'cpu') == 1
    assert '1 of 1 images failed' in capsys.readouterr().err


def test_cameras_and_boxes_by_name(inferencer, images, tmp_path):
    name = Path(images[0]).name
    found = predict_images(inferencer, images[:2], str(tmp_path),
                           camera={name: CAMERA}, root_depth=4000.)
    assert found.images == 1
    assert 'no entry for 000000000002.jpg in camera' in found.failures[
        images[1]]
    with pytest.raises(ValueError, match=r'boxes for other\.jpg, but no such'):
        predict_images(inferencer, images[:2], str(tmp_path),
                       boxes={'other.jpg': [[1, 2, 3, 4]]})


@pytest.mark.parametrize(('arguments', 'code', 'error'), [
    ((), 2, 'either an image or folder, or --dataset'),
    (('a.jpg', '--dataset', 3), 2, 'either an image or folder'),
    (('--dataset', 3, '--boxes', 'b.json'), 2, '--boxes cannot go with'),
    (('--dataset', 3, '--camera', 'c.json', '--root-depth', 0), 2,
     '--camera and --root-depth cannot go with --dataset'),
    (('none.jpg', ), 1, 'there is no file none.jpg'),
])
def test_wrong_arguments(config_file, checkpoint, capsys, arguments, code,
                         error):
    assert run_tool(config_file, checkpoint, *arguments, '--device',
                    'cpu') == code
    assert error in capsys.readouterr().err


def test_the_config_can_be_changed(config_file, checkpoint, tmp_path, capsys):
    assert run_tool(
        config_file, checkpoint, '--dataset', 1, '--out', tmp_path,
        '--device', 'cpu', '--cfg-options',
        'test_dataloader.dataset.data_root=nowhere') == 1
    assert 'nowhere/annotations' in capsys.readouterr().err


def test_wrong_files(config_file, checkpoint, images, tmp_path, capsys):
    assert run_tool(tmp_path / 'none.py', checkpoint, images[0]) == 1
    assert 'There is no config' in capsys.readouterr().err
    assert run_tool(config_file, tmp_path / 'none.pth', images[0]) == 1
    assert 'there is no file' in capsys.readouterr().err
