"""``python -m mmpose_wloss density``: fit, inspect and compare."""

import dataclasses
import json
import re
from pathlib import Path

from mmpose_wloss.__main__ import main
from mmpose_wloss.pose_density import PoseDensityArtifact
from mmpose_wloss.pose_density.summary import compare

import cv2
import numpy as np
import pytest
from mmengine.config import Config

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


def write_annotations(path: Path, poses: np.ndarray,
                      without: str = '') -> Path:
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
        annotation.pop(without, None)
    path.write_text(json.dumps(dict(
        images=[dict(id=one['id'], file_name=f'{one["id"]}.jpg', width=SIZE,
                     height=SIZE) for one in annotations],
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
    """Run the command in an empty folder: exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = main(['density', *map(str, arguments)])
        return (status, *capsys.readouterr())

    return run


def fit(run, *arguments):
    status, out, errors = run('fit', '--no-pictures', *arguments)
    assert status == 0, errors
    return out, errors


@pytest.fixture(scope='module')
def density(people) -> PoseDensityArtifact:
    """A density of these people."""
    file = people.with_name('people.npz')
    assert main(['density', 'fit', str(people), '--no-pictures', '--out',
                 str(file), '--options', 'components=4']) == 0
    return PoseDensityArtifact.load(str(file))


@pytest.fixture
def fitted(density, tmp_path) -> Path:
    """Its file."""
    density.save(tmp_path / 'people.npz')
    return tmp_path / 'people.npz'


def test_fit_an_annotation_file(run, people, tmp_path):
    status, out, _ = run('fit', people, '--data-root', people.parent,
                         '--options', 'components=4', 'clip=0.2,5')
    assert status == 0
    artifact = PoseDensityArtifact.load('work_dirs/pose_density/people.npz')
    assert artifact.density.options['clip'] == [0.2, 5]
    assert artifact.dataset_name == 'coco' and len(artifact.ids) == 40
    ordered = artifact.ids[np.argsort(artifact.log_density)]
    assert set(ordered[:4]) == set(RARE)
    for text in ('40 of 17 joints', 'components=4',
                 f'{artifact.density.bandwidth:.4g}'):
        assert text in out
    pictures = list(Path('work_dirs/pose_density/people').iterdir())
    assert {picture.name for picture in pictures} == {
        'density.png', 'axes.png', 'poses.png', 'crops.jpg'}
    assert re.search(r'note: \d+ people', out)
    assert not list(tmp_path.rglob('*partial*'))


def labeled(people: Path, *pipeline) -> dict:
    return dict(type='CocoDataset', ann_file=str(people),
                data_prefix=dict(img=str(people.parent)),
                pipeline=list(pipeline))


def write_config(path: Path, *datasets: dict, **more) -> Path:
    Config(dict(default_scope='mmpose', train_dataloader=dict(
        dataset=dict(type='CombinedDataset', datasets=list(datasets))),
        **more)).dump(str(path))
    return path


WEIGHTS = dict(type='PoseDensityWeights', file='weights/of_training.npz')
KEY = 'train_dataloader.dataset.datasets'


def test_fit_a_config(run, people, tmp_path):
    """Its weighted data set, though the file is not there yet."""
    config = write_config(
        tmp_path / 'config.py', labeled(people),
        dict(type='RepeatDataset', times=2, dataset=labeled(people, WEIGHTS)),
        pose_density=dict(file=WEIGHTS['file'], components=3, min_ess=0.6))
    out, _ = fit(run, config, '--options', 'min_ess=0.7')
    assert f'{KEY}.1.dataset' in out
    options = PoseDensityArtifact.load(WEIGHTS['file']).density.options
    assert options['components'] == 3 and options['min_ess'] == 0.7
    out, errors = fit(run, config, '--out', 'elsewhere.npz', '--cfg-options',
                      'pose_density.components=2')
    assert 'components=2' in out and WEIGHTS['file'] in errors


def test_which_data_set_of_a_config(run, tmp_path, people):
    unlabeled = dict(type='UnlabeledPoseDataset', ann_file=str(people))
    plain, weighted = labeled(people), labeled(people, WEIGHTS)
    config = tmp_path / 'config.py'
    for datasets, arguments, message in (
            ((plain, plain), (), rf'2 labeled.*\n  {KEY}.0: CocoDataset .*json'),
            ((weighted, weighted), (), 'several .*PoseDensityWeights'),
            ((unlabeled,), (), 'no labeled'),
            ((plain,), ('--dataset', 'x'), rf'x.*\n  {KEY}.0'),
            ((unlabeled, plain), ('--dataset', f'{KEY}.0'), 'without labels')):
        write_config(config, *datasets)
        status, _, errors = run('fit', config, *arguments)
        assert status == 1 and re.search(message, errors)
    for datasets, arguments, file in (
            # what the training reads, where the config says nothing else
            ((plain, weighted), (), WEIGHTS['file']),
            ((unlabeled, plain), (), 'work_dirs/pose_density/config.npz'),
            ((plain, plain), ('--dataset', f'{KEY}.1'),
             'work_dirs/pose_density/config.npz')):
        write_config(config, *datasets)
        out, _ = fit(run, config, *arguments)
        assert f'{KEY}.1' in out and f'written: {file}' in out
    # what a sampler draws by
    for sampler in (f'file={WEIGHTS["file"]!r}, type="PoseDensitySampler"',
                    f'densities=[None, {WEIGHTS["file"]!r}]'):
        write_config(config, unlabeled, plain)
        with config.open('a') as text:
            text.write(f'\ntrain_dataloader["sampler"] = dict({sampler})\n')
        assert f'written: {WEIGHTS["file"]}' in fit(run, config)[0]
    config.write_text('model = dict()')
    assert 'train_dataloader' in run('fit', config)[2]


def broken(rows, joints, value):
    poses = poses_of(30)
    poses[rows, joints] = value
    return poses


@pytest.mark.parametrize('poses, without, message', [
    (broken([7], slice(None), 50), '', r'1 of 30 .*ids 8\)'),
    (broken([7, 9], 2, np.nan), '', r'2 of 30 .*NaN.*ids 8, 10\)'),
    (poses_of(30), 'keypoints', 'bad.json has no pose'),
    (poses_of(30)[:, :14], '', 'annotation 1 of .* has 14 joints'),
    (poses_of(30), 'category_id', 'bad.json.*CocoDataset'),
    ('{"images": [', '', 'bad.json.*JSONDecodeError'),
    ('[]', '', 'bad.json.*AssertionError'),
])
def test_bad_annotations(run, tmp_path, poses, without, message):
    """A clear error, and the file that was there is as it was."""
    annotations, out = tmp_path / 'bad.json', tmp_path / 'bad.npz'
    if isinstance(poses, str):
        annotations.write_text(poses)
    else:
        write_annotations(annotations, poses, without)
    out.write_text('old')
    status, _, errors = run('fit', annotations, '--out', out)
    assert status == 1
    assert re.search(message, errors[errors.rindex('error: '):]), errors
    assert out.read_text() == 'old'
    assert sorted(tmp_path.iterdir()) == [annotations, out]


@pytest.mark.parametrize('arguments, message', [
    (['--options', 'bandwith=2'], 'bandwith'),
    (['--out', 'people.json'], 'people.json'),
    (['--device', 'nonsense'], "'nonsense'"),
    (['--dataset-type', 'NoDataset'], 'NoDataset'),
    (['--options', 'normalize=image'], '1.jpg')])
def test_bad_arguments(run, people, tmp_path, arguments, message):
    status, _, errors = run('fit', people, *arguments)
    assert status == 1
    assert message in errors[errors.rindex('error: '):]
    assert not list(tmp_path.rglob('*.npz'))


def test_missing_files(run, tmp_path):
    nowhere = 'annotations/nowhere.json'
    config = write_config(tmp_path / 'config.py', labeled(Path(nowhere)))
    for arguments, message in (
            (('fit', 'nowhere.json'), 'nowhere.json'),
            (('fit', 'nowhere.py'), 'nowhere.py'),
            (('fit', config), f'{KEY}.0.ann_file: {nowhere}'),
            (('inspect', 'nowhere.npz'), 'nowhere.npz')):
        status, _, errors = run(*arguments)
        assert status == 1 and message in errors


def test_weights_that_do_nothing_or_too_much(run, people, tmp_path):
    copied = poses_of(40)
    copied[10] = copied[20]
    _, errors = fit(run, write_annotations(tmp_path / 'copied.json', copied),
                    '--out', 'a.npz', '--options', 'alpha=0')
    assert 'warning: 1 of 40' in errors and errors.count('warning: ') == 2
    before = (tmp_path / 'a.npz').read_bytes()
    few = [people, '--out', 'a.npz', '--options', 'alpha=50', 'clip=None',
           'min_ess=0', 'kernel=gaussian']
    status, _, errors = run('fit', *few)
    assert status == 1 and '--force' in errors
    assert (tmp_path / 'a.npz').read_bytes() == before
    _, errors = fit(run, *few, '--force')
    assert 'warning: ' in errors
    assert PoseDensityArtifact.load('a.npz').is_carried_by_few()


def test_inspect(run, fitted, people, tmp_path):
    status, out, _ = run('inspect', fitted)
    assert status == 0 and '40 of 17 joints' in out
    assert 'note: ' not in out  # COCO is registered
    assert {each.name for each in fitted.with_suffix('').iterdir()} == {
        'density.png', 'axes.png'}
    status, out, _ = run('inspect', fitted, '--source', people, '--out',
                         'pictures')
    # no images at all
    assert status == 0 and 'note: 40 people' in out
    assert {each.name for each in Path('pictures').iterdir()} == {
        'density.png', 'axes.png', 'poses.png'}
    other = write_annotations(tmp_path / 'other.json', poses_of(12))
    status, _, errors = run('inspect', fitted, '--source', other, '--out', 'new')
    assert status == 1 and 'other.json' in errors
    assert not Path('new').exists()


def test_an_unknown_data_set_is_drawn_without_bones(run, density):
    dataclasses.replace(density, dataset_name='elves').save('elves.npz')
    status, out, _ = run('inspect', 'elves.npz')
    assert status == 0 and re.search("axes.png\nnote: .*'elves'", out)


def test_compare(run, fitted, people, tmp_path):
    fit(run, people, '--out', 'half.npz', '--options', 'components=2',
        'max_references=20')
    status, out, _ = run('compare', fitted, 'half.npz', '--count', '3')
    assert status == 0 and '40, 40 with' in out
    assert len(out.split('weight\n')[1].splitlines()) == 3 + 1
    assert (tmp_path / 'people_and_half.png').exists()
    status, out, _ = run('compare', fitted, fitted, '--out', 'new/same.png')
    assert 'log density  1.000' in out and '100.0%' in out
    assert (tmp_path / 'new' / 'same.png').exists()


def test_compare_needs_common_annotations(run, density, fitted):
    for by, changes, expected in (
            (37, dict(annotation_files=('near.json',), annotation_digest='0'),
             '3, 3 with.*near.json'),
            (37, dict(dataset_name='elves'), 'coco.*elves'),
            (40, {}, '0 annotations in common')):
        dataclasses.replace(density, ids=density.ids + by, **changes
                            ).save('other.npz')
        status, out, errors = run('compare', fitted, 'other.npz')
        assert status == ('near' not in expected)
        assert re.search(expected, out + errors, re.DOTALL)


def test_comparison_by_hand(density):
    first = density
    log_density = first.log_density.copy()
    # the same in another order, with two densities exchanged and one missing
    low, high = np.argsort(log_density)[[0, -1]]
    log_density[[low, high]] = log_density[[high, low]]
    log_density[np.argsort(first.log_density)[20]] = np.nan
    order = np.random.default_rng(0).permutation(40)
    result = compare(first, dataclasses.replace(
        first, ids=first.ids[order], weights=first.weights[order],
        log_density=log_density[order]))
    assert result.weight_correlation == pytest.approx(1)
    ranks = np.arange(39.)
    moved = ranks.copy()
    moved[[0, -1]] = 38, 0
    assert result.density_correlation == pytest.approx(
        np.corrcoef(ranks, moved)[0, 1])
    assert result.rare_overlap == 3 / 4  # of 39, a tenth is 4
    assert set(result.ids[result.disagreements(2)]) == {
        first.ids[low], first.ids[high]}
