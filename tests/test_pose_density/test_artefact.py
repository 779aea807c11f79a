"""The file of a density: whole, checked, and the same when read again."""

import dataclasses
import json

from mmpose_wloss.pose_density import (
    PoseDensity,
    PoseDensityArtefact,
    annotation_digest,
)

import numpy as np
import pytest

NAMES = ('left_shoulder', 'right_shoulder', 'nose', 'left_hip', 'right_hip')
FLIP = [1, 0, 2, 4, 3]


@pytest.fixture
def annotations(tmp_path):
    file = tmp_path / 'train.json'
    file.write_text('{"annotations": []}')
    return str(file)


def make(annotations, **options) -> PoseDensityArtefact:
    draw = np.random.default_rng(0)
    poses = draw.normal(100, 20, (60, 5, 2))
    visible = draw.random((60, 5)) > 0.1
    visible[3, :4] = False
    density = PoseDensity(components=3, **options).fit(
        poses, visible, joint_names=NAMES, flip_indices=FLIP,
        image_sizes=np.full((60, 2), 200.))
    return PoseDensityArtefact(
        ids=np.arange(60) * 7 + 2**40, weights=density.weights,
        log_density=density.log_density, density=density, joint_names=NAMES,
        dataset_name='mine', annotation_files=(annotations, ),
        annotation_digest=annotation_digest([annotations]))


@pytest.mark.parametrize('options', [
    {}, dict(mode='source'), dict(missing='mean'), dict(normalize='torso'),
    dict(max_references=30), dict(bandwidth='loo', clip=None),
])
def test_what_is_read_is_what_was_written(annotations, tmp_path, options):
    artefact = make(annotations, **options)
    file = str(tmp_path / 'new' / 'density.npz')
    artefact.save(file)
    again = PoseDensityArtefact.load(file)
    for name in ('ids', 'weights', 'log_density'):
        np.testing.assert_array_equal(getattr(again, name),
                                      getattr(artefact, name))
    for name in ('joint_names', 'dataset_name', 'annotation_files',
                 'annotation_digest'):
        assert getattr(again, name) == getattr(artefact, name)
    assert again.path == file and str(again) == file
    assert again.by_id()[2**40 + 7] == artefact.weights[1]
    assert again.without_density == artefact.without_density
    assert again.effective_sample_size == artefact.effective_sample_size
    poses = np.random.default_rng(1).normal(100, 20, (20, 5, 2))
    visible = np.ones((20, 5))
    visible[:5, 2] = 0
    sizes = np.full((20, 2), 200.)
    np.testing.assert_allclose(
        again.score(poses, visible, image_sizes=sizes),
        artefact.score(poses, visible, image_sizes=sizes), rtol=1e-4)
    # and once more, from what was read
    again.save(file)
    twice = PoseDensityArtefact.load(file)
    np.testing.assert_array_equal(twice.density.references,
                                  again.density.references)


def test_the_file_holds_no_pickle(annotations, tmp_path):
    make(annotations).save(str(tmp_path / 'density.npz'))
    with np.load(tmp_path / 'density.npz', allow_pickle=False) as stream:
        assert json.loads(str(stream['meta']))['format'] == 1
        assert all(stream[name].dtype != object for name in stream.files)


def test_a_failed_write_leaves_the_old_file(annotations, tmp_path,
                                            monkeypatch):
    artefact = make(annotations)
    file = tmp_path / 'density.npz'
    artefact.save(str(file))
    before = file.read_bytes()

    def fail(*_, **__):
        raise OSError('no space left')

    monkeypatch.setattr(np, 'savez_compressed', fail)
    with pytest.raises(OSError, match='no space'):
        artefact.save(str(file))
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.glob('density*')] == ['density.npz']


def test_other_annotations_and_joints_are_refused(annotations, tmp_path):
    artefact = make(annotations)
    artefact.check_annotations([annotations])
    artefact.check_joints(NAMES, 'the data set')
    other = tmp_path / 'other.json'
    other.write_text('{"annotations": [1]}')
    with pytest.raises(ValueError) as error:
        artefact.check_annotations([str(other)])
    assert annotations in str(error.value) and str(other) in str(error.value)
    with pytest.raises(ValueError) as error:
        artefact.check_joints(NAMES[::-1], 'the data set mine')
    assert 'left_shoulder, right_shoulder' in str(error.value)
    assert 'the data set mine' in str(error.value)


def test_digests_of_several_files_depend_on_their_order(annotations,
                                                        tmp_path):
    other = tmp_path / 'other.json'
    other.write_text('{}')
    both = [annotations, str(other)]
    assert len({annotation_digest(files) for files in (
        both, both[::-1], [annotations], [str(other)])}) == 4


def rewritten(file, **changes):
    with np.load(file) as stream:
        arrays = dict(stream)
    meta = json.loads(str(arrays['meta']))
    meta.update(changes)
    arrays['meta'] = np.array(json.dumps(meta))
    np.savez(file, **arrays)


def test_files_that_cannot_be_read(annotations, tmp_path):
    file = tmp_path / 'density.npz'
    with pytest.raises(FileNotFoundError, match='pose_density.py fit'):
        PoseDensityArtefact.load(str(file))
    make(annotations).save(str(file))
    whole = file.read_bytes()
    for content in (whole[:len(whole) // 2], whole[:10], b'', b'no archive'):
        file.write_bytes(content)
        with pytest.raises(ValueError, match='no pose density'):
            PoseDensityArtefact.load(str(file))
    np.savez(file, something=np.ones(3))
    with pytest.raises(ValueError, match='no pose density'):
        PoseDensityArtefact.load(str(file))
    np.savez(file, meta=np.array([dict(kind='pose density')], dtype=object))
    with pytest.raises(ValueError, match='no pose density'):
        PoseDensityArtefact.load(str(file))
    file.write_bytes(whole)
    rewritten(file, format=2, made_by='mmpose_wloss 9.0')
    with pytest.raises(ValueError, match='mmpose_wloss 9.0'):
        PoseDensityArtefact.load(str(file))


@pytest.mark.parametrize('change, message', [
    (dict(ids=np.zeros(60, np.int64)), 'occurs 60 times'),
    (dict(weights=np.zeros(60)), 'above 0'),
    (dict(weights=np.full(60, np.nan)), 'finite'),
    (dict(weights=np.ones(59)), 'as many weights'),
])
def test_what_no_file_may_hold(annotations, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make(annotations), **change)


def test_weights_that_do_nothing_or_are_carried_by_few(annotations):
    artefact = make(annotations)
    assert not artefact.does_nothing() and not artefact.is_carried_by_few()
    equal = dataclasses.replace(artefact, weights=np.linspace(1, 1.1, 60))
    assert equal.does_nothing()
    few = np.full(60, 1e-6)
    few[5] = 1.
    few = dataclasses.replace(artefact, weights=few)
    assert few.is_carried_by_few()
    assert few.heaviest_share() == pytest.approx(1, abs=1e-3)
