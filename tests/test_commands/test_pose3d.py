import json

from mmpose_wloss.commands.pose3d import main
from mmpose_wloss.common.errors import MissingFile, UserError

import pytest


def run(arguments: list[str]) -> int:
    return main([*arguments, '--device', 'cpu'])


@pytest.fixture(scope='module')
def model(pose3d_config, pose3d_checkpoint, tmp_path_factory) -> list[str]:
    file = tmp_path_factory.mktemp('config') / 'd8.py'
    pose3d_config.dump(file)
    return [str(file), pose3d_checkpoint]


def test_a_folder(model, coco_root, tmp_path, capsys):
    camera = tmp_path / 'camera.json'
    camera.write_text(json.dumps(dict(f=[150., 150.], c=[64., 48.])))
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps({'000000000001.jpg': [[1, 2, 50, 60]] * 2,
                                 '000000000002.jpg': []}))
    assert run([*model, str(coco_root / 'val2017'), '--boxes', str(boxes),
                 '--camera', str(camera), '--root-depth', '4000', '--out',
                 str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert '2 people in 2 images, 2 left out' in said.out
    assert '000000000003.jpg' in said.err and '000000000004.jpg' in said.err
    people = json.loads(
        (tmp_path / 'predictions' / '000000000001.json').read_text())
    assert len(people) == 2 and 'keypoints_cam' in people[0]


def test_samples(model, tmp_path, capsys):
    assert run([*model, '--dataset', '2', '--out', str(tmp_path)]) == 0
    assert '| mean ' in capsys.readouterr().out
    assert (tmp_path / 'sheet.png').is_file()
    with pytest.raises(MissingFile, match='nowhere/annotations'):
        run([*model, '--dataset', '2', '--out', str(tmp_path), '--cfg-options',
              'test_dataloader.dataset.data_root=nowhere'])


@pytest.mark.parametrize('arguments, named', [
    ((), '--dataset'), (('a.jpg', '--dataset', '3'), '--dataset'),
    (('--dataset', '3', '--boxes', 'b.json'), '--boxes'),
    (('--dataset', '3', '--camera', 'c.json'), '--camera'),
    (('--dataset', '3', '--root-depth', '0'), '--root-depth')])
def test_wrong_arguments(model, capsys, arguments, named):
    with pytest.raises(SystemExit):
        run([*model, *arguments])
    assert named in capsys.readouterr().err.splitlines()[-1]


def test_files_that_are_missing_or_broken(model, tmp_path):
    config, checkpoint = model
    broken = tmp_path / 'broken.jpg'
    broken.write_text('no image')
    for arguments in ([str(tmp_path / 'none.py'), checkpoint, str(broken)],
                      [config, str(tmp_path / 'none.pth'), str(broken)]):
        with pytest.raises(MissingFile, match='none'):
            run(arguments)
    for image in (str(broken), 'none.jpg'):
        with pytest.raises(UserError, match='no prediction'):
            run([*model, image, '--out', str(tmp_path)])
