"""Whom to label next: scores, and files for annotation tools and a training."""

import csv
import json

from mmpose_wloss.__main__ import main
from mmpose_wloss.apis.pose_ranking import rank_people, shares
from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import (
    EpochMultiSourceSampler,
    UnlabeledPoseDataset,
    collect_poses,
    fit_pose_density,
)
from mmpose_wloss.pose_density import PoseDensityArtifact

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope
from mmpose.datasets import CombinedDataset
from mmpose.registry import DATASETS
from xtcocotools.coco import COCO


@pytest.fixture(scope='module')
def labeled(coco_root):
    """The labeled data set, and the density of its poses."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        dataset = DATASETS.build(dict(
            type='CocoDataset', data_root=str(coco_root),
            data_prefix=dict(img='train2017/'),
            ann_file='annotations/person_keypoints_train2017.json'))
    return dataset, fit_pose_density(collect_poses(dataset), components=2)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Seven images, 96 × 80, one of them in a folder of its own."""
    root = tmp_path_factory.mktemp('unlabeled')
    (root / 'more').mkdir()
    rng = np.random.default_rng(0)
    for index in range(7):
        image = rng.integers(0, 255, (12, 10, 3), np.uint8)
        cv2.imwrite(str(root / ('more' if index > 5 else '') / f'{index}.png'),
                    cv2.resize(image, (80, 96)))
    return root


def people_of(folder, **arguments):
    return UnlabeledPoseDataset(data_prefix=dict(img=str(folder)), **arguments)


def test_shares():
    np.testing.assert_allclose(shares(np.array([3., np.nan, 1., 2., 3.])),
                               [1 / 6, 0.5, 1, 2 / 3, 1 / 6])
    np.testing.assert_array_equal(shares(np.array([5.])), 0.5)


def test_people_are_ranked_by_what_is_asked_for(predictor, labeled, folder):
    _, artifact = labeled
    rankings = {by: rank_people(predictor, artifact, people_of(folder), by, 0.)
                for by in ('rarity', 'uncertainty', 'both')}
    rarity = rankings['rarity']
    images = [cv2.imread(path) for path in rarity.poses.image_paths]
    found = predictor.predict(images, [[[0, 0, 80, 96]]] * 7)
    np.testing.assert_allclose(rarity.poses.keypoints,
                               np.concatenate([each.keypoints for each in found]))
    np.testing.assert_allclose(rarity.log_density, artifact.score(
        rarity.poses.keypoints, np.ones((7, 17)), boxes=rarity.poses.boxes))
    assert (np.diff(rarity.log_density[rarity.order]) >= 0).all()
    uncertainty = rankings['uncertainty']
    np.testing.assert_allclose(uncertainty.confidence, [
        each.keypoint_scores.mean() for each in found], rtol=1e-6)
    assert (np.diff(uncertainty.confidence[uncertainty.order]) >= 0).all()
    np.testing.assert_allclose(rankings['both'].scores,
                               (rarity.scores + uncertainty.scores) / 2)


def test_poses_of_too_few_joints_are_ranked_by_confidence(predictor, labeled, folder):
    _, artifact = labeled
    ranking = rank_people(predictor, artifact, people_of(folder), kpt_thr=1.)
    assert np.isnan(ranking.log_density).all() and not ranking.poses.visible.any()
    assert (np.diff(ranking.confidence[ranking.order]) >= 0).all()


@pytest.fixture
def config_file(topdown_config, tmp_path):
    topdown_config.dump(tmp_path / 'config.py')
    return str(tmp_path / 'config.py')


def rank(*arguments):
    return main(['density', 'rank', *map(str, arguments)])


def test_the_files(config_file, topdown_checkpoint, labeled, folder, tmp_path, capsys):
    dataset, artifact = labeled
    artifact.save(tmp_path / 'density.npz')
    assert rank(config_file, topdown_checkpoint, tmp_path / 'density.npz', '--images',
                folder, '--out', tmp_path / 'out', '--count', 3, '--device', 'cpu',
                '--kpt-thr', 0, '--cfg-options',
                'test_dataloader.batch_size=1') == 0
    out = tmp_path / 'out'
    assert {path.name for path in out.iterdir()} == {
        'ranking.csv', 'to_label.json', 'people.json', 'draws.npz', 'to_label.jpg'}
    rows = list(csv.DictReader((out / 'ranking.csv').read_text().splitlines()))
    assert [row['place'] for row in rows] == list('1234567')
    scores = [float(row['score']) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert {row['image'] for row in rows} == {
        *(f'{index}.png' for index in range(6)), 'more/6.png'}
    # what annotation tools read: the first ones, in order
    first = json.loads((out / 'to_label.json').read_text())
    assert [str(one['id']) for one in first['annotations']] == [
        row['id'] for row in rows[:3]]
    coco = COCO(str(out / 'people.json'))
    assert len(coco.anns) == 7 and coco.cats[1]['keypoints'][0] == 'nose'
    for one in coco.anns.values():
        assert one['num_keypoints'] == 17 and len(one['keypoints']) == 51
        assert one['bbox'] == [0, 0, 80, 96]
        assert (folder / coco.imgs[one['image_id']]['file_name']).is_file()
    assert COCO(str(out / 'to_label.json')).cats[1]['skeleton']

    # and a training: the rarer, the more often
    people = people_of(folder, ann_file=str(out / 'people.json'))
    with DefaultScope.overwrite_default_scope('mmpose'):
        both = CombinedDataset(
            dict(from_file='configs/_base_/datasets/coco.py'), [
                dict(type='CocoDataset', data_root=str(dataset.data_root or ''),
                     ann_file=dataset.ann_file,
                     data_prefix=dict(img=dataset.data_prefix['img'])),
                dict(type='UnlabeledPoseDataset', ann_file=str(out / 'people.json'),
                     data_prefix=dict(img=str(folder)))])
    sampler = EpochMultiSourceSampler(both, 8, [1, 7], seed=0,
                                      densities=[None, str(out / 'draws.npz')])
    order = [index for epoch in range(60) for index in list(sampler)
             if not sampler.set_epoch(epoch) and index >= len(dataset)]
    counts = np.bincount(np.array(order) - len(dataset), minlength=7)
    draws = PoseDensityArtifact.load(out / 'draws.npz')
    ids = [people.get_data_info(index)['id'] for index in range(7)]
    expected = np.array([draws.by_id()[each] for each in ids])
    np.testing.assert_allclose(counts / counts.mean(), expected, atol=0.02)
    log_density = {int(row['id']): float(row['log_density']) for row in rows}
    rarest_first = np.argsort([log_density[each] for each in ids])
    assert (np.diff(expected[rarest_first]) < 0).all()
    assert '7 people' in capsys.readouterr().out


def test_what_cannot_be_ranked(predictor, labeled, folder, tmp_path, config_file,
                               topdown_checkpoint):
    _, artifact = labeled
    for arguments in (dict(by='beauty'), dict(kpt_thr=2.)):
        with pytest.raises(UserError, match=next(iter(arguments))):
            rank_people(predictor, artifact, people_of(folder), **arguments)
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken/a.png').write_bytes((folder / '0.png').read_bytes()[:200])
    with pytest.raises(UserError, match='a.png'):
        rank_people(predictor, artifact, people_of(tmp_path / 'broken'))
    assert rank(config_file, topdown_checkpoint, tmp_path / 'no.npz', '--images',
                folder) == 1


@pytest.mark.parametrize('ids, message', [
    (['fox1', 'fox2'], "'fox1' .*people.json"), ([1, 1], 'people.json .* unique')])
def test_ids_that_draws_cannot_name(predictor, labeled, folder, tmp_path, monkeypatch,
                                    ids, message):
    """They are told before the people are predicted, which takes long."""
    (tmp_path / 'people.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='0.png', width=80, height=96)],
        annotations=[dict(id=each, image_id=1, category_id=1, bbox=[5, 5, 40, 50])
                     for each in ids])))
    people = people_of(folder, ann_file=str(tmp_path / 'people.json'))
    monkeypatch.delattr(type(predictor), 'predict')
    with pytest.raises(UserError, match=message):
        rank_people(predictor, labeled[1], people)


@pytest.mark.parametrize('threshold, warned', [(0, False), (1, True)])
def test_most_people_show_too_few_joints(config_file, topdown_checkpoint, labeled,
                                         folder, tmp_path, capsys, threshold, warned):
    _, artifact = labeled
    artifact.save(tmp_path / 'density.npz')
    assert rank(config_file, topdown_checkpoint, tmp_path / 'density.npz', '--images',
                folder, '--out', tmp_path / 'out', '--device', 'cpu', '--kpt-thr',
                threshold) == 0
    assert ('--kpt-thr' in capsys.readouterr().err) == warned


def test_draws_that_a_handful_would_carry(config_file, topdown_checkpoint, labeled,
                                          folder, tmp_path, capsys, monkeypatch):
    _, artifact = labeled
    artifact.save(tmp_path / 'density.npz')
    arguments = (config_file, topdown_checkpoint, tmp_path / 'density.npz', '--images',
                 folder, '--out', tmp_path / 'out', '--device', 'cpu', '--kpt-thr', 0)
    assert rank(*arguments) == 0
    monkeypatch.setattr(PoseDensityArtifact, 'is_carried_by_few', lambda self: True)
    assert rank(*arguments) == 0
    captured = capsys.readouterr()
    assert 'draws.npz' in captured.err and 'draws.npz' not in captured.out.split(
        'written')[-1]
    # an older one would be of other people
    assert not (tmp_path / 'out' / 'draws.npz').exists()
