import importlib.util
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

from mmpose_wloss.commands.density import (
    draw_pictures,
    read_poses,
    skeleton_of,
    source_of,
)
from mmpose_wloss.pose_density import PoseDensityArtefact
from mmpose_wloss.pose_density.summary import compare

import cv2
import numpy as np
import pytest
from mmengine.config import Config

TOOL = Path(__file__).parents[2] / 'tools' / 'pose_density.py'
SIZE = 128
STANDING = np.random.default_rng(5).uniform(35, 90, (17, 2))
LYING = STANDING[:, ::-1]
RARE = range(1, 5)  # ids


def poses_of(count: int) -> np.ndarray:
    """Standing people, of whom four lie."""
    rng = np.random.default_rng(0)
    base = np.array([LYING if index + 1 in RARE else STANDING
                     for index in range(count)])
    return (base + rng.normal(0, 3, base.shape)).round(2)


def write_annotations(path: Path, poses: np.ndarray, *without: str) -> Path:
    """A file in COCO's format with one person an image."""
    keypoints = np.concatenate(
        [poses, np.full((*poses.shape[:2], 1), 2.)], axis=2)
    keypoints[:, 3] = 0  # nobody shows the left ear
    annotations = [
        dict(id=index, image_id=index, category_id=1, iscrowd=0, area=4000.,
             bbox=[20., 20., 90., 90.], num_keypoints=16,
             keypoints=joints.ravel().tolist())
        for index, joints in enumerate(keypoints, start=1)]
    for annotation in annotations:
        for key in without:
            del annotation[key]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(
        images=[dict(id=index, file_name=f'{index}.jpg', width=SIZE,
                     height=SIZE) for index in range(1, len(poses) + 1)],
        annotations=annotations, categories=[dict(id=1, name='person')])))
    return path


@pytest.fixture(scope='module')
def people(tmp_path_factory) -> Path:
    """40 annotated people, and the images of half of them."""
    root = tmp_path_factory.mktemp('people')
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    for index in range(1, 21):
        cv2.imwrite(str(root / f'{index}.jpg'), image)
    return write_annotations(root / 'people.json', poses_of(40))


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the tool in an empty folder: exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location('pose_density_tool', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run_tool(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
        status = tool.main()
        return (status, *capsys.readouterr())

    return run_tool


@pytest.fixture
def fitted(run, people, tmp_path) -> Path:
    """A density of these people."""
    out = tmp_path / 'people.npz'
    assert run('fit', people, '--out', out, '--no-pictures', '--options',
               'components=4')[0] == 0
    return out


def test_fit_an_annotation_file(run, people, tmp_path):
    status, out, _ = run('fit', people, '--data-root', people.parent,
                         '--options', 'components=4', 'clip=0.2,5')
    assert status == 0, out
    artefact = PoseDensityArtefact.load('work_dirs/pose_density/people.npz')
    assert artefact.density.options['clip'] == [0.2, 5]
    assert artefact.dataset_name == 'coco' and len(artefact.ids) == 40
    ordered = artefact.ids[np.argsort(artefact.log_density)]
    assert set(ordered[:4]) == set(RARE)
    for text in ('poses                  40 of 17 joints', 'components=4',
                 'effective sample size', 'heaviest 1 %',
                 f'bandwidth              {artefact.density.bandwidth:.4g}'):
        assert text in out
    pictures = list(Path('work_dirs/pose_density/people').iterdir())
    assert {picture.name for picture in pictures} == {
        'density.png', 'axes.png', 'poses.png', 'crops.jpg'}
    assert all(1000 < picture.stat().st_size < 300_000 for picture in pictures)
    assert re.search(r'note: \d+ people are not shown in their images', out)
    assert not list(tmp_path.rglob('*.partial'))


def test_the_command_line(people, tmp_path):
    result = subprocess.run(
        [sys.executable, TOOL, 'fit', tmp_path / 'nowhere.py'], text=True,
        capture_output=True, cwd=tmp_path,
        env=dict(os.environ, OMP_NUM_THREADS='1'))
    assert result.returncode == 1
    # other packages warn before it
    assert 'error: There is no config' in result.stderr
    assert 'Traceback' not in result.stderr


def labeled(people: Path, *pipeline) -> dict:
    return dict(type='CocoDataset', ann_file=str(people),
                data_prefix=dict(img=str(people.parent)),
                pipeline=list(pipeline))


def write_config(path: Path, dataset: dict, **more) -> Path:
    Config(dict(default_scope='mmpose',
                train_dataloader=dict(dataset=dataset), **more)).dump(str(path))
    return path


WEIGHTS = dict(type='PoseDensityWeights', file='weights/of_training.npz')


def test_fit_a_config(run, people, tmp_path):
    """Its weighted data set, though the file is not there yet."""
    config = write_config(
        tmp_path / 'config.py', dict(type='CombinedDataset', datasets=[
            labeled(people), dict(type='RepeatDataset', times=2,
                                  dataset=labeled(people, WEIGHTS))]),
        pose_density=dict(file=WEIGHTS['file'], components=3, min_ess=0.6))
    status, out, errors = run('fit', config, '--no-pictures', '--options',
                              'min_ess=0.7')
    assert status == 0, errors
    assert 'fitting to train_dataloader.dataset.datasets.1.dataset' in out
    artefact = PoseDensityArtefact.load(WEIGHTS['file'])
    assert artefact.density.options['components'] == 3
    assert artefact.density.options['min_ess'] == 0.7
    status, out, errors = run(
        'fit', config, '--no-pictures', '--out', 'elsewhere.npz',
        '--cfg-options', 'pose_density.components=2')
    assert status == 0 and 'components=2' in out
    assert 'reads weights/of_training.npz' in errors


def test_which_data_set_of_a_config(tmp_path, people):
    unlabeled = dict(type='UnlabeledPoseDataset', ann_file=str(people))
    path = str(tmp_path / 'config.py')

    def key_of(*datasets, key=None) -> str:
        write_config(path, dict(type='CombinedDataset',
                                datasets=list(datasets)))
        return source_of(path, key).key

    assert key_of(unlabeled, labeled(people)).endswith('datasets.1')
    with pytest.raises(ValueError, match='2 labelled.*--dataset:\n  train_data'
                       'loader.dataset.datasets.0: CocoDataset .*people.json'):
        key_of(labeled(people), labeled(people))
    with pytest.raises(ValueError, match='several .* PoseDensityWeights'):
        key_of(labeled(people, WEIGHTS), labeled(people, WEIGHTS))
    with pytest.raises(ValueError, match='no labelled'):
        key_of(unlabeled)
    second = 'train_dataloader.dataset.datasets.1'
    assert key_of(labeled(people), labeled(people), key=second) == second
    with pytest.raises(ValueError, match='no training data set x. It has:'):
        key_of(labeled(people), key='x')
    with pytest.raises(ValueError, match='without labels'):
        key = key_of(unlabeled, labeled(people),
                     key='train_dataloader.dataset.datasets.0')
        read_poses(source_of(path, key))
    Path(path).write_text('model = dict()')
    with pytest.raises(ValueError, match='no train_dataloader'):
        source_of(path)
    # what the training reads is written, where the config says nothing else
    write_config(path, labeled(people, WEIGHTS))
    assert source_of(path).out == WEIGHTS['file']
    write_config(path, labeled(people))
    assert source_of(path).out == 'work_dirs/pose_density/config.npz'


def at_one_point():
    poses = poses_of(30)
    poses[7] = 50
    return poses


def not_a_number():
    poses = poses_of(30)
    poses[[7, 9], 2, 1] = np.nan
    return poses


@pytest.mark.parametrize('poses, without, message', [
    (at_one_point(), [], r'1 of 30 .*at one point.*ids 8\)'),
    (not_a_number(), [], r'2 of 30 .*NaN.*ids 8, 10\)'),
    (poses_of(1), [], '1 of 1 poses .*more than 10 are needed'),
    (poses_of(8), [], '8 of 8 poses .*more than 10 are needed'),
    (np.repeat(poses_of(6), 5, 0), [], '30 poses, but only 6 different'),
    (poses_of(30), ['keypoints'], 'no pose with keypoints'),
    (poses_of(30)[:, :14], [], 'annotation 1 has 14 joints, but .* of 17'),
    (poses_of(30), ['category_id'], 'cannot be read by CocoDataset'),
])
def test_bad_annotations(run, tmp_path, poses, without, message):
    """A clear error, and the file that was there is as it was."""
    annotations = write_annotations(tmp_path / 'bad.json', poses, *without)
    (tmp_path / 'bad.npz').write_text('old')
    status, _, errors = run('fit', annotations, '--out', 'bad.npz')
    assert status == 1
    error = errors[errors.rindex('error: '):]
    assert re.search(message, error), error
    assert (tmp_path / 'bad.npz').read_text() == 'old'
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        'bad.json', 'bad.npz']


@pytest.mark.parametrize('content, message', [
    ('{"images": [', 'cannot be read by CocoDataset .JSONDecodeError'),
    ('{"images": []}', 'no pose with keypoints'),
    ('[]', 'cannot be read by CocoDataset .AssertionError')])
def test_files_that_are_no_annotations(run, tmp_path, content, message):
    (tmp_path / 'bad.json').write_text(content)
    status, _, errors = run('fit', 'bad.json')
    assert status == 1
    assert re.search(message, errors), errors


@pytest.mark.parametrize('arguments, message', [
    (['--options', 'bandwith=2'], "no option 'bandwith'; it has normalize"),
    (['--options', 'mode=new'], 'mode must be one of'),
    (['--options', 'kernel=box'], 'kernel must be one of'),
    (['--out', 'people.json'], 'ending in .npz'),
    (['--device', 'nonsense'], "device 'nonsense' cannot be used"),
    (['--dataset-type', 'NoDataset'], 'NoDataset'),
    (['--options', 'normalize=image'], 'There is no image')])
def test_bad_arguments(run, people, tmp_path, arguments, message):
    status, _, errors = run('fit', people, *arguments)
    assert status == 1 and 'error: ' in errors
    assert message in errors
    assert not list(tmp_path.rglob('*.npz'))


def test_missing_files(run, tmp_path, people):
    assert 'no annotation file nowhere.json' in run('fit', 'nowhere.json')[2]
    config = write_config(tmp_path / 'config.py',
                          labeled(Path('annotations/nowhere.json')))
    status, _, errors = run('fit', config)
    assert status == 1
    assert ('train_dataloader.dataset.ann_file: annotations/nowhere.json'
            in errors)
    assert 'nowhere.npz' in run('inspect', 'nowhere.npz')[2]


def test_copies_are_counted(run, tmp_path):
    poses = poses_of(30)
    poses[[10, 11, 12]] = poses[20]
    annotations = write_annotations(tmp_path / 'copies.json', poses)
    status, out, errors = run('fit', annotations, '--no-pictures')
    assert status == 0
    assert 'warning: 3 of 30 poses are copies of others' in errors
    assert 'copies of others       3' in out


def test_weights_that_do_nothing_or_too_much(run, people, tmp_path):
    status, _, errors = run('fit', people, '--no-pictures', '--out', 'a.npz',
                            '--options', 'alpha=0')
    assert status == 0 and 'warning: the effective sample size is 1.0' in errors
    before = (tmp_path / 'a.npz').read_bytes()
    few = ['fit', people, '--no-pictures', '--out', 'a.npz', '--options',
           'alpha=50', 'clip=None', 'min_ess=0', 'kernel=gaussian']
    status, _, errors = run(*few)
    assert status == 1 and 'error: a.npz is not written: ' in errors
    assert (tmp_path / 'a.npz').read_bytes() == before
    status, _, errors = run(*few, '--force')
    assert status == 0 and 'warning: ' in errors and 'a handful' in errors
    assert PoseDensityArtefact.load('a.npz').is_carried_by_few()


def test_inspect(run, fitted, people, tmp_path):
    status, out, _ = run('inspect', fitted)
    assert status == 0 and 'poses                  40 of 17 joints' in out
    assert 'without bones' not in out  # COCO is registered
    folder = fitted.with_suffix('')
    assert {each.name for each in folder.iterdir()} == {
        'density.png', 'axes.png'}
    status, out, _ = run('inspect', fitted, '--source', people, '--out',
                         'pictures')
    assert status == 0 and 'drawn: pictures/poses.png' in out
    # no images at all
    assert 'drawn: pictures/crops.jpg' not in out
    assert 'note: 40 people are not shown in their images' in out


def test_the_source_must_be_that_of_the_file(run, fitted, tmp_path):
    other = write_annotations(tmp_path / 'other.json', poses_of(12))
    status, _, errors = run('inspect', fitted, '--source', other)
    assert status == 1 and 'was computed from' in errors
    with pytest.raises(ValueError, match='28 of 40 annotations'):
        list(draw_pictures(PoseDensityArtefact.load(fitted), tmp_path / 'new',
                           read_poses(source_of(str(other)))))
    assert not (tmp_path / 'new').exists()


def test_an_unknown_data_set_is_drawn_without_bones(fitted, tmp_path):
    artefact = PoseDensityArtefact.load(fitted)
    assert skeleton_of(artefact)[1] is None
    object.__setattr__(artefact, 'dataset_name', 'elves')
    skeleton, note = skeleton_of(artefact)
    assert not len(skeleton.links) and "'elves'" in note
    notes = [note for _, note in draw_pictures(artefact, tmp_path / 'elves')]
    assert notes == [None, note]


def rewrite(path: Path, **change) -> None:
    with np.load(path) as stream:
        arrays = dict(stream)
    meta = json.loads(str(arrays['meta']))
    meta.update(change)
    arrays['meta'] = np.array(json.dumps(meta))
    np.savez(path, **arrays)


def spoil(path: Path, how: str) -> None:
    if how == 'truncated':
        path.write_bytes(path.read_bytes()[:-200])
    elif how == 'newer':
        rewrite(path, format=99, made_by='mmpose_wloss 9.9')
    elif how == 'not one':
        np.savez(path, weights=np.ones(3))
    elif how == 'pickled':
        path.write_bytes(pickle.dumps(dict(weights=np.ones(3))))
    elif how == 'pickled arrays':
        np.savez(path, meta=np.array([dict(kind='pose density')], object))


@pytest.mark.parametrize('how, message', [
    ('truncated', 'no pose density, or it is truncated'),
    ('newer', 'has the format 99 (mmpose_wloss 9.9)'),
    ('not one', 'is no pose density'), ('pickled', 'is no pose density'),
    ('pickled arrays', 'is no pose density')])
def test_bad_files(run, fitted, tmp_path, how, message):
    good = tmp_path / 'good.npz'
    good.write_bytes(fitted.read_bytes())
    spoil(fitted, how)
    for command in (['inspect', fitted], ['compare', good, fitted]):
        status, _, errors = run(*command)
        assert status == 1
        assert errors.startswith('error: ') and message in errors
    assert not list(tmp_path.rglob('*.png'))


def test_compare(run, fitted, people, tmp_path):
    assert run('fit', people, '--out', 'half.npz', '--no-pictures',
               '--options', 'components=2', 'max_references=20')[0] == 0
    status, out, _ = run('compare', fitted, 'half.npz', '--count', '3')
    assert status == 0
    assert 'common annotations               40, 40 with' in out
    assert len(out.split('weight\n')[1].splitlines()) == 3 + 1
    assert (tmp_path / 'people_and_half.png').stat().st_size < 300_000
    status, out, _ = run('compare', fitted, fitted, '--out', 'new/same.png')
    assert 'log density  1.000' in out and 'tenths            100.0%' in out
    assert (tmp_path / 'new' / 'same.png').exists()


def test_compare_needs_common_annotations(run, fitted, tmp_path):
    shifted = poses_of(30)
    path = write_annotations(tmp_path / 'shifted.json', shifted)
    content = json.loads(path.read_text())
    for annotation in content['annotations']:
        annotation['id'] += 37
    path.write_text(json.dumps(content))
    assert run('fit', path, '--out', 'shifted.npz', '--no-pictures')[0] == 0
    # 38, 39 and 40
    status, out, _ = run('compare', fitted, 'shifted.npz')
    assert status == 0 and 'different annotation files' in out
    rewrite(tmp_path / 'shifted.npz', dataset_name='elves')
    status, _, errors = run('compare', fitted, 'shifted.npz')
    assert status == 1 and 'of the data set coco and ' in errors
    for annotation in content['annotations']:
        annotation['id'] += 3
    path.write_text(json.dumps(content))
    assert run('fit', path, '--out', 'shifted.npz', '--no-pictures')[0] == 0
    status, _, errors = run('compare', fitted, 'shifted.npz')
    assert status == 1 and '0 annotations in common' in errors


def test_comparison_by_hand(fitted):
    first = PoseDensityArtefact.load(fitted)
    second = PoseDensityArtefact.load(fitted)
    # the same in another order, with two densities exchanged and one missing
    low, high = np.argsort(first.log_density)[[0, -1]]
    second.log_density[[low, high]] = second.log_density[[high, low]]
    second.log_density[np.argsort(first.log_density)[20]] = np.nan
    order = np.random.default_rng(0).permutation(40)
    for name in ('ids', 'weights', 'log_density'):
        object.__setattr__(second, name, getattr(second, name)[order])
    result = compare(first, second)
    assert result.weight_correlation == pytest.approx(1)
    ranks = np.arange(39.)
    moved = ranks.copy()
    moved[[0, -1]] = 38, 0
    assert result.density_correlation == pytest.approx(
        np.corrcoef(ranks, moved)[0, 1])
    assert result.rare_overlap == 3 / 4  # of 39, a tenth is 4
    assert set(result.ids[result.disagreements(2)]) == {
        first.ids[low], first.ids[high]}
    assert result.sample_sizes[0] == first.effective_sample_size
