import json
import shutil
from pathlib import Path

from mmpose_wloss.commands.pose3d import main
from mmpose_wloss.common.errors import MissingFile, UserError

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpose.evaluation.metrics import MPJPE
from mmpose.registry import DATASETS

CAMERA = dict(f=[150., 150.], c=[64., 48.])
BOX = [10, 10, 50, 80]
FIRST, SECOND, THIRD = (f'00000000000{number}' for number in (1, 2, 3))


@pytest.fixture(scope='module')
def model(pose3d_config, pose3d_checkpoint, tmp_path_factory) -> list[str]:
    file = tmp_path_factory.mktemp('config') / 'd8.py'
    pose3d_config.dump(file)
    return [str(file), pose3d_checkpoint]


@pytest.fixture
def run(model, tmp_path):
    """Runs the command, and gives where it wrote."""
    def run_command(*arguments) -> Path:
        assert main([*model, *map(str, arguments), '--out', str(tmp_path),
                     '--device', 'cpu']) == 0
        return tmp_path
    return run_command


@pytest.fixture
def folder(val_images, tmp_path) -> Path:
    """Three images, and one that is broken."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for image in val_images[:3]:
        (folder / Path(image).name).symlink_to(image)
    (folder / 'broken.jpg').write_text('no image')
    (folder / 'notes.txt').write_text('no image either')
    return folder


def write(folder: Path, content) -> Path:
    file = folder / 'given.json'
    file.write_text(json.dumps(content))
    return file


def test_what_cannot_be_read_is_left_out(run, folder, tmp_path, capsys):
    boxes = write(tmp_path, {f'{FIRST}.jpg': [BOX, [25, 15, 105, 85]],
                             f'{SECOND}.jpg': [], 'broken.jpg': [BOX]})
    camera = tmp_path / 'camera.json'
    camera.write_text(json.dumps(CAMERA))
    out = run(folder, '--boxes', boxes, '--camera', camera, '--root-depth',
              4000)
    said = capsys.readouterr()
    assert '2 people in 2 images, 2 left out' in said.out
    assert f'{THIRD}.jpg' in said.err and 'broken.jpg' in said.err
    first, second = (json.loads((out / 'predictions' / f'{name}.json'
                                 ).read_text()) for name in (FIRST, SECOND))
    assert len(first) == 2 and 'keypoints_cam' in first[0] and second == []
    assert sorted(file.stem for file in (out / 'visualizations').iterdir()) == [
        FIRST, SECOND]


def test_images_of_one_name_are_not_written_over_each_other(
        run, folder, tmp_path, inferencer):
    shutil.copy(folder / f'{FIRST}.jpg', folder / f'{FIRST}.png')
    for write in (lambda: run(folder),
                  lambda: inferencer(folder, out_dir=str(tmp_path)),
                  lambda: inferencer([folder / f'{FIRST}.jpg', np.ones((8, 8, 3)),
                                      str(folder / f'{FIRST}.png')],
                                     pred_out_dir=str(tmp_path))):
        with pytest.raises(UserError, match=f'{FIRST}.jpg and .*{FIRST}.png'):
            write()
    assert not (tmp_path / 'predictions').exists()


def test_folders_of_the_folder(run, val_images, tmp_path, capsys):
    for name, image in zip(('a.jpg', 'more/a.jpg'), val_images[:2], strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(image)
    boxes = write(tmp_path, {'a.jpg': [BOX], 'more/a.jpg': [BOX, BOX]})
    # a second time, beside the pictures of the first
    for _ in range(2):
        run(tmp_path, '--boxes', boxes)
        assert '3 people in 2 images:' in capsys.readouterr().out
    for name, count in (('a', 1), ('more/a', 2)):
        people = json.loads((tmp_path / f'predictions/{name}.json').read_text())
        assert len(people) == count
        assert (tmp_path / f'visualizations/{name}.png').exists()


def test_cameras_by_name(run, folder, tmp_path, capsys):
    camera = write(tmp_path, {f'{FIRST}.jpg': CAMERA})
    run(folder, '--camera', camera, '--root-depth', 4000)
    said = capsys.readouterr()
    assert '1 people in 1 images, 3 left out' in said.out
    assert f'{SECOND}.jpg in {camera}' in said.err
    with pytest.raises(UserError, match=r'other\.jpg'):
        run(folder, '--boxes', write(tmp_path, {'other.jpg': [BOX]}))


def test_errors_of_samples_are_those_of_the_metric(run, inferencer, capsys):
    out = run('--dataset', 100)
    errors = json.loads((out / 'errors.json').read_text())['samples']
    assert [error['id'] for error in errors] == [1, 2, 3, 4]
    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = DATASETS.build(inferencer.cfg.test_dataloader.dataset)
    with torch.no_grad():
        samples = inferencer.model.test_step(inferencer.collate_fn(
            [dataset[index] for index in range(4)]))
    means = capsys.readouterr().out.split('| mean ')[1]
    for mode in ('MPJPE', 'P-MPJPE'):
        metric = MPJPE(mode=mode.lower())
        metric.process([], [sample.to_dict() for sample in samples])
        expected = metric.compute_metrics(metric.results)[mode]
        assert np.mean([error[mode] for error in errors]) == pytest.approx(
            expected, rel=1e-5)
        assert f'{expected:.1f}' in means
    sheet = cv2.imread(str(out / 'sheet.png'))
    # two samples a row, each an image and two poses
    assert sheet.shape[1] > 2 * sheet.shape[0] and sheet.std() > 10


@pytest.mark.parametrize('arguments, named', [
    (('a.jpg', '--dataset', '3'), '--dataset'),
    (('--dataset', '3', '--root-depth', '0'), '--root-depth')])
def test_wrong_arguments(run, capsys, arguments, named):
    with pytest.raises(SystemExit):
        run(*arguments)
    assert named in capsys.readouterr().err.splitlines()[-1]


def test_what_is_missing_or_broken(run, model, folder):
    with pytest.raises(UserError, match='dataset'):
        run('--dataset', 0)
    with pytest.raises(MissingFile, match='nowhere/annotations'):
        run('--dataset', 2, '--cfg-options',
            'test_dataloader.dataset.data_root=nowhere')
    for image in (folder / 'broken.jpg', 'none.jpg'):
        with pytest.raises(UserError, match='no prediction'):
            run(image)
    for arguments in (['none.py', model[1]], [model[0], 'none.pth']):
        with pytest.raises(MissingFile, match='none'):
            main([*arguments, str(folder), '--device', 'cpu'])
