"""The file of a density: whole, checked, and the same when read again."""

import dataclasses
import json

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.common.files import digest_of_files
from mmpose_wloss.pose_density import PoseDensity, PoseDensityArtifact

import numpy as np
import pytest

NAMES = ('left_shoulder', 'right_shoulder', 'nose', 'left_hip', 'right_hip')
SIZES = np.full((60, 2), 200.)


@pytest.fixture
def annotations(tmp_path):
    file = tmp_path / 'train.json'
    file.write_text('{"annotations": []}')
    return str(file)


def make(annotations, **options) -> PoseDensityArtifact:
    draw = np.random.default_rng(0)
    poses = draw.normal(100, 20, (60, 5, 2))
    visible = draw.random((60, 5)) > 0.1
    visible[3, :4] = False
    density = PoseDensity(components=3, **options).fit(
        poses, visible, joint_names=NAMES, flip_indices=[1, 0, 2, 4, 3],
        image_sizes=SIZES)
    return PoseDensityArtifact(
        ids=np.arange(60) * 7 + 2**40, weights=density.weights,
        log_density=density.log_density, density=density, joint_names=NAMES,
        dataset_name='mine', annotation_files=(annotations, ),
        annotation_digest=digest_of_files([annotations]))


@pytest.mark.parametrize('options', [
    {}, dict(mode='source'), dict(missing='mean'), dict(normalize='torso'),
    dict(max_references=30), dict(bandwidth='loo', clip=None),
])
def test_what_is_read_is_what_was_written(annotations, tmp_path, options):
    artifact = make(annotations, **options)
    file = str(tmp_path / 'new' / 'density.npz')
    artifact.save(file)
    with np.load(file, allow_pickle=False) as stream:
        assert json.loads(str(stream['meta']))['format'] == 1
        assert all(stream[name].dtype != object for name in stream.files)
    again = PoseDensityArtifact.load(file)
    for name in ('ids', 'weights', 'log_density', 'held_out'):
        np.testing.assert_array_equal(getattr(again, name),
                                      getattr(artifact, name))
    for name in ('joint_names', 'dataset_name', 'annotation_files',
                 'annotation_digest', 'effective_sample_size'):
        assert getattr(again, name) == getattr(artifact, name)
    assert str(again) == file
    assert again.by_id()[2**40 + 7] == artifact.weights[1]
    poses = np.random.default_rng(1).normal(100, 20, (60, 5, 2))
    visible = np.ones((60, 5))
    visible[:5, 2] = 0
    np.testing.assert_allclose(
        again.score(poses, visible, image_sizes=SIZES),
        artifact.score(poses, visible, image_sizes=SIZES), rtol=1e-4)


def test_other_annotations_and_joints_are_refused(annotations, tmp_path):
    artifact = make(annotations)
    artifact.check_annotations([annotations])
    artifact.check_joints(NAMES, 'the data set')
    other = tmp_path / 'other.json'
    other.write_text('{}')
    for files in ([str(other)], [annotations, str(other)]):
        with pytest.raises(UserError, match=f'{annotations}.*{other}'):
            artifact.check_annotations(files)
    with pytest.raises(UserError, match='left_shoulder.*elves.*right_hip'):
        artifact.check_joints(NAMES[::-1], 'elves')


def test_files_that_cannot_be_read(annotations, tmp_path):
    file = tmp_path / 'density.npz'
    with pytest.raises(FileNotFoundError, match=str(file)):
        PoseDensityArtifact.load(str(file))
    make(annotations).save(str(file))
    whole = file.read_bytes()
    with np.load(file) as stream:
        arrays = dict(stream)
    for content in (whole[:len(whole) // 2], whole[:10], b'', b'no archive'):
        file.write_bytes(content)
        with pytest.raises(UserError, match=str(file)):
            PoseDensityArtifact.load(str(file))
    meta = json.loads(str(arrays['meta']))
    for change in (dict(something=np.ones(3)), dict(meta=np.array(
            [dict(kind='pose density')], dtype=object)),
            *(dict(arrays, meta=np.array(json.dumps(each))) for each in (
                [], dict(meta, kind='another'), dict(kind='pose density')))):
        np.savez(file, **change)
        with pytest.raises(UserError, match=str(file)):
            PoseDensityArtifact.load(str(file))
    meta.update(format=2, made_by='mmpose_wloss 9.0')
    np.savez(file, **dict(arrays, meta=np.array(json.dumps(meta))))
    with pytest.raises(UserError, match='mmpose_wloss 9.0'):
        PoseDensityArtifact.load(str(file))


@pytest.mark.parametrize('change, message', [
    (dict(ids=np.zeros(60, np.int64)), 'id 0 occurs 60 times'),
    (dict(weights=np.zeros(60)), 'weights'),
    (dict(weights=np.full(60, np.nan)), 'weights'),
    (dict(weights=np.ones(59)), 'weights.*59'),
])
def test_what_no_file_may_hold(annotations, change, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(make(annotations), **change)


def test_weights_that_do_nothing_or_are_carried_by_few(annotations):
    artifact = make(annotations)
    assert artifact.doubt() is None and not artifact.is_carried_by_few()
    equal = dataclasses.replace(artifact, weights=np.linspace(1, 1.1, 60))
    assert equal.doubt() and not equal.is_carried_by_few()
    few = np.full(60, 1e-6)
    few[5] = 1.
    few = dataclasses.replace(artifact, weights=few)
    assert few.doubt() and few.is_carried_by_few()
    assert few.heaviest_share() == pytest.approx(1, abs=1e-3)
