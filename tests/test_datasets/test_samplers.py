import itertools
from collections import Counter

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import (
    DrawSampler,
    EpochMultiSourceSampler,
    PoseDensitySampler,
    collect_poses,
    fit_pose_density,
)
from mmpose_wloss.datasets.samplers import draw_by_weights

import mmpose.datasets.samplers as stock_samplers
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from mmengine.logging import MessageHub
from mmpose.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import DataLoader


@DATASETS.register_module()
class NumbersDataset(BaseDataset):
    """As many samples as it is told, each with its source."""

    def __init__(self, source: int, length: int):
        self.source, self.length = source, length
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [dict(source=self.source) for _ in range(self.length)]


def combined(*lengths, **arguments):
    return DATASETS.build(dict(
        type='CombinedDataset',
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        datasets=[dict(type='NumbersDataset', source=source, length=length)
                  for source, length in enumerate(lengths)], **arguments))


def sampler_of(lengths, batch_size, ratio, **arguments):
    return EpochMultiSourceSampler(
        combined(*lengths), batch_size, ratio, **{**dict(seed=7), **arguments})


def epochs(sampler, numbers) -> list:
    orders = []
    for number in numbers:
        sampler.set_epoch(number)
        orders.append(list(sampler))
    return orders


def batches(order, batch_size) -> list:
    return [order[start:start + batch_size]
            for start in range(0, len(order), batch_size)]


def with_clips(lengths, clip_lengths):
    dataset = combined(*lengths)
    for each, clip_length in zip(dataset.datasets, clip_lengths, strict=True):
        each.clip_length = clip_length
    return dataset


@pytest.mark.parametrize('world_size', [1, 2])
def test_samples_of_a_clip_stay_together(monkeypatch, world_size):
    """In a batch of one rank, and all clips once a pass."""
    seen = []
    for rank in range(world_size):
        monkeypatch.setattr(stock_samplers, 'get_dist_info',
                            lambda rank=rank: (rank, world_size))
        sampler = EpochMultiSourceSampler(
            with_clips((8, 24), (1, 3)), 8, [1, 3], seed=7)
        order, other = epochs(sampler, range(2))
        assert len(order) == len(sampler) and order != other
        for batch in batches(order, 8):
            assert all(index < 8 for index in batch[:2])
            for clip in batches(batch[2:], 3):
                first = clip[0] - 8
                assert first % 3 == 0
                assert clip == [clip[0], clip[0] + 1, clip[0] + 2]
            seen += batch[2:]
        # it goes on as it would have
        again = EpochMultiSourceSampler(
            with_clips((8, 24), (1, 3)), 8, [1, 3], seed=7)
        assert epochs(again, [1]) == [other]
    assert sorted(seen) == list(range(8, 32))


@pytest.mark.parametrize('lengths, ratio', [((8, 24), [1, 1]), ((10, 25), [1, 3])])
def test_parts_of_clips_are_refused(lengths, ratio):
    with pytest.raises(UserError, match='clip_length=3'):
        EpochMultiSourceSampler(with_clips(lengths, (1, 3)), 8, ratio)


@pytest.fixture
def in_world(monkeypatch):
    """Build the sampler of one rank of several."""

    def build(rank, world_size, *args, **kwargs):
        monkeypatch.setattr(stock_samplers, 'get_dist_info',
                            lambda: (rank, world_size))
        return sampler_of(*args, **kwargs)

    return build


@pytest.mark.parametrize('lengths, batch_size, ratio, shares', [
    ((5, 40), 4, [1, 1], [2, 2]),
    ((40, 5), 6, [2, 1], [4, 2]),
    ((7, 11, 13), 8, [1, 1, 1], [4, 2, 2]),
    ((10, 10), 10, [0.3, 0.7], [3, 7]),
    ((10, ), 4, [1], [4]),
])
@pytest.mark.parametrize('round_up', [True, False])
def test_every_batch_has_the_ratio(lengths, batch_size, ratio, shares, round_up):
    sampler = sampler_of(lengths, batch_size, ratio, round_up=round_up)
    ends = list(itertools.accumulate(lengths))
    expected = np.repeat(range(len(shares)), shares).tolist()
    for order in epochs(sampler, range(3)):
        assert len(order) == len(sampler)
        for batch in batches(order, batch_size):
            assert [sum(index >= end for end in ends)
                    for index in batch] == expected


@pytest.mark.parametrize('lengths, round_up, iterations', [
    ((5, 40), True, 20), ((5, 40), False, 20), ((41, 3), True, 21),
    ((41, 3), False, 20), ((41, 41), True, 21), ((1, 1), True, 1),
])
def test_the_length_of_an_epoch(in_world, lengths, round_up, iterations):
    assert len(sampler_of(lengths, 4, [1, 1], round_up=round_up)
               ) == 4 * iterations
    ranks = [in_world(rank, 2, lengths, 2, [1, 1], round_up=round_up)
             for rank in range(2)]
    assert {len(sampler) for sampler in ranks} == {2 * iterations}


def test_an_epoch_is_a_pass_over_the_source_of_the_most_batches():
    for order in epochs(sampler_of((6, 40), 5, [1, 4]), range(4)):
        larger = [index for index in order if index >= 6]
        assert sorted(larger) == list(range(6, 46))
        assert larger != sorted(larger)
    # 10 samples, one in a batch, outlast 30 samples, four in a batch
    for order in epochs(sampler_of((30, 10), 5, [4, 1]), range(2)):
        assert len(order) == 50
        assert sorted(order[4::5]) == list(range(30, 40))


def test_an_unfilled_batch_is_filled_or_left_for_the_next_epoch():
    for round_up, per_epoch in ((True, 12), (False, 8)):
        sampler = sampler_of((10, 4), 8, [1, 1], round_up=round_up)
        orders = epochs(sampler, range(5))
        first = [index for order in orders for index in order if index < 10]
        assert len(first) == 5 * per_epoch
        for one_pass in batches(first, 10):
            assert sorted(one_pass) == list(range(10))


@pytest.mark.parametrize('round_up', [True, False])
def test_smaller_sources_are_covered_evenly_over_epochs(round_up):
    sampler = sampler_of((7, 50, 3), 10, [2, 5, 3], round_up=round_up)
    seen = Counter()
    for order in epochs(sampler, range(9)):
        seen.update(order)
        for source in (range(0, 7), range(7, 57), range(57, 60)):
            counts = [seen[index] for index in source]
            assert max(counts) - min(counts) <= 1


def test_epochs_and_sources_differ_and_seeds_decide():
    orders = epochs(sampler_of((20, 20), 4, [1, 1]), range(3))
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        first = [index for index in order if index < 20]
        second = [index - 20 for index in order if index >= 20]
        assert first != second
    assert epochs(sampler_of((20, 20), 4, [1, 1]), range(3)) == orders
    assert epochs(sampler_of((20, 20), 4, [1, 1], seed=8), range(3)) != orders


def test_without_shuffling_the_order_is_the_data_sets():
    sampler = sampler_of((3, 8), 4, [1, 1], shuffle=False)
    assert epochs(sampler, range(2)) == [
        [0, 1, 3, 4, 2, 0, 5, 6, 1, 2, 7, 8, 0, 1, 9, 10],
        [2, 0, 3, 4, 1, 2, 5, 6, 0, 1, 7, 8, 2, 0, 9, 10]]


@pytest.mark.parametrize('round_up', [True, False])
def test_an_epochs_order_follows_from_its_number(round_up):
    """In a training that resumes, or whose last epoch was interrupted."""
    def sampler():
        return sampler_of((7, 30), 8, [1, 3], round_up=round_up)

    whole = epochs(sampler(), range(6))
    assert epochs(sampler(), range(3, 6)) == whole[3:]
    interrupted = sampler()
    list(itertools.islice(interrupted, 5))
    assert epochs(interrupted, [0, 1]) == whole[:2]
    assert list(interrupted) == whole[1]


def test_the_seed_can_be_set_until_an_epoch_begins():
    sampler = sampler_of((7, 30), 8, [1, 3], seed=1)
    sampler.seed = 7
    assert list(sampler) == list(sampler_of((7, 30), 8, [1, 3], seed=7))


@pytest.mark.parametrize('world_size', [2, 3])
@pytest.mark.parametrize('lengths', [(24, 48), (5, 48), (31, 47)])
def test_ranks_share_one_order(in_world, world_size, lengths):
    def orders(rank):
        return epochs(in_world(rank, world_size, lengths, 4, [1, 1]),
                      range(3))

    ranks = [orders(rank) for rank in range(world_size)]
    assert orders(0) == ranks[0]
    ends = (range(0, lengths[0]), range(lengths[0], sum(lengths)))
    for source in ends:
        common = []
        for of_epoch in zip(*ranks, strict=True):
            assert len({len(order) for order in of_epoch}) == 1
            in_source = [[index for index in order if index in source]
                         for order in of_epoch]
            for turn in zip(*in_source, strict=True):
                common.extend(turn)
        for one_pass in batches(common, len(source)):
            assert len(set(one_pass)) == len(one_pass)


def test_sources_are_as_long_as_the_combined_data_set_says():
    dataset = combined(10, 20, sample_ratio_factor=[1.0, 0.5])
    sampler = EpochMultiSourceSampler(dataset, 4, [1, 1], seed=0)
    assert sorted(sampler) == list(range(20))


@pytest.mark.parametrize('workers', [0, 2])
def test_a_data_loader_follows_the_epochs(workers):
    dataset = combined(3, 10)
    sampler = EpochMultiSourceSampler(dataset, 4, [1, 1], seed=7)
    loader = DataLoader(dataset, batch_size=4, sampler=sampler,
                        num_workers=workers, collate_fn=list,
                        persistent_workers=workers > 0)
    expected = epochs(sampler_of((3, 10), 4, [1, 1]), range(3))
    assert len(loader) == 5
    for number, order in enumerate(expected):
        sampler.set_epoch(number)
        loaded = list(loader)
        assert [[sample['source'] for sample in batch]
                for batch in loaded] == [[0, 0, 1, 1]] * 5
        assert [[sample['sample_idx'] + 3 * sample['source']
                 for sample in batch] for batch in loaded] == batches(order, 4)


@pytest.mark.parametrize('lengths, batch_size, ratio, arguments, message', [
    ((5, 0), 4, [1, 1], {}, 'source 1'), ((5, 5), 4, [9, 1], {}, 'source 1'),
    ((5, 5), 1, [1, 1], {}, 'source 1'),
    ((5, 5), 4, [1, 0], {}, r'source_ratio\[1\]'),
    ((5, 5), 4, [-1, 2], {}, r'source_ratio\[0\]'),
    ((2, 3), 8, [1, 1], dict(round_up=False), 'round_up=False'),
])
def test_arguments_that_do_not_fit(lengths, batch_size, ratio, arguments, message):
    with pytest.raises(UserError, match=message):
        sampler_of(lengths, batch_size, ratio, **arguments)


def test_draws_are_uniform_and_follow_from_seed_epoch_and_rank(monkeypatch):
    world = []
    for rank in range(2):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info',
                            lambda rank=rank: (rank, 2))
        sampler = DATA_SAMPLERS.build(dict(
            type='DrawSampler', dataset=range(50), num_samples=5000, seed=3))
        assert isinstance(sampler, DrawSampler) and len(sampler) == 5000
        world.append(epochs(sampler, (0, 1)))
        assert epochs(sampler, (0, 1)) == world[-1]
    orders = [order for of_rank in world for order in of_rank]
    for number, order in enumerate(orders):
        counts = Counter(order)
        # 100 of each on average, with a deviation of 10
        assert set(counts) == set(range(50)) and 50 < min(counts.values())
        assert max(counts.values()) < 150
        assert order not in orders[:number]


def test_an_epoch_of_no_draws_is_refused():
    with pytest.raises(UserError, match='num_samples'):
        DrawSampler(range(5), 0)


def test_people_are_drawn_in_proportion_to_their_weights():
    weights = np.array([0.2, 1., 3., 0.8, 5.])
    drawn = [draw_by_weights(weights, 12, np.random.default_rng(seed))
             for seed in range(500)]
    counts = np.array([np.bincount(each, minlength=5) for each in drawn])
    expected = 12 * weights / weights.sum()
    # as evenly as whole numbers can be
    assert ((counts == np.floor(expected)) | (counts == np.ceil(expected))).all()
    np.testing.assert_allclose(counts.mean(0), expected, atol=0.1)
    # in random order
    assert len({tuple(each) for each in drawn}) > 490
    equal = draw_by_weights(np.full(7, 0.3), 7, np.random.default_rng(0))
    assert sorted(equal) == list(range(7))


@pytest.fixture
def people(coco_root, tmp_path):
    """A data set with a density of it, its file, and the weights in order."""
    dataset = DATASETS.build(dict(
        type='CocoDataset', data_root=str(coco_root), serialize_data=False,
        data_prefix=dict(img='train2017/'),
        ann_file='annotations/person_keypoints_train2017.json'))
    artifact = fit_pose_density(collect_poses(dataset), components=2, clip=None)
    artifact.save(tmp_path / 'density.npz')
    return dataset, str(tmp_path / 'density.npz'), artifact.weights


def test_an_epoch_shows_rare_poses_more_often(people, monkeypatch):
    dataset, file, weights = people
    world = []
    for rank in range(2):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info',
                            lambda rank=rank: (rank, 2))
        world.append(DATA_SAMPLERS.build(dict(
            type='PoseDensitySampler', file=file, num_samples=300, seed=5,
            dataset=dataset)))
        assert isinstance(world[-1], PoseDensitySampler) and len(world[-1]) == 300
    for number in range(3):
        drawn = np.concatenate([epochs(each, [number])[0] for each in world])
        counts = np.bincount(drawn, minlength=len(weights))
        np.testing.assert_allclose(counts, 600 * weights / weights.sum(), atol=1)
        logged = MessageHub.get_current_instance().get_scalar(
            'train/pose_density/effective_sample_size').current()
        assert logged == pytest.approx(1 / (len(counts) * (counts / 600)**2).sum())
    # the epoch's number alone decides, as after a resume
    first = world[0]
    assert epochs(first, [2, 0, 2])[0] == epochs(first, [2])[0] != epochs(first, [1])[0]


def test_weights_may_begin_later(people):
    dataset, file, weights = people
    sampler = PoseDensitySampler(dataset, file, begin=2, seed=1)
    assert len(sampler) == len(dataset)
    before = epochs(sampler, (0, 1))
    assert [sorted(order) for order in before] == [list(range(len(dataset)))] * 2
    repeated = DATASETS.build(dict(type='RepeatDataset', dataset=dataset, times=50))
    of_all = epochs(PoseDensitySampler(repeated, file, begin=2, seed=1), [2])[0]
    np.testing.assert_allclose(
        np.bincount(np.array(of_all) % len(dataset), minlength=len(dataset)),
        len(of_all) * weights / weights.sum(), atol=1 + 50 * 0.5)


def test_a_source_is_drawn_by_its_density(people):
    dataset, file, weights = people
    both = combined(3, 2)
    both.datasets[0], both._lens[0] = dataset, len(dataset)
    sampler = EpochMultiSourceSampler(both, 4, [3, 1], seed=2, densities=[file, None])
    taken = np.concatenate(epochs(sampler, range(200))).reshape(-1, 4)
    counts = np.bincount(taken[:, :3].ravel(), minlength=len(dataset))
    np.testing.assert_allclose(counts / counts.sum(), weights / weights.sum(),
                               atol=0.02)
    assert len(counts) == len(dataset)
    # the other source is covered as evenly as ever
    others = np.bincount(taken[:, 3])[len(dataset):]
    assert len(others) == 2 and abs(others[0] - others[1]) <= 1
    for densities, arguments in (([file], {}), ([file, None], dict(shuffle=False))):
        with pytest.raises(UserError, match='densities'):
            EpochMultiSourceSampler(both, 4, [3, 1], densities=densities, **arguments)


def test_sources_of_another_length_than_their_people(people):
    dataset, file, _ = people
    both = combined(3, 2, sample_ratio_factor=[2., 1.])
    both.datasets[0], both._lens[0] = dataset, 2 * len(dataset)
    with pytest.raises(UserError, match=f'{len(dataset)} samples.*{2 * len(dataset)}'):
        EpochMultiSourceSampler(both, 4, [3, 1], densities=[file, None])


def test_people_without_ids_have_no_weights(people):
    dataset, file, _ = people
    # images of several people
    dataset.get_data_info = lambda index: dict(id=list(range(1 + index % 2)))
    with pytest.raises(UserError, match='one a sample'):
        PoseDensitySampler(dataset, file)
    dataset.ann_file = ''
    with pytest.raises(UserError, match='CocoDataset.*ann_file'):
        PoseDensitySampler(dataset, file)


def test_a_density_of_other_people_is_refused(people, coco_root):
    dataset, file, _ = people
    others = DATASETS.build(dict(
        type='CocoDataset', data_root=str(coco_root), data_prefix=dict(img='val2017/'),
        ann_file='annotations/person_keypoints_val2017.json'))
    with pytest.raises(UserError, match='person_keypoints_val2017'):
        PoseDensitySampler(others, file)
    dataset.get_data_info = lambda index: dict(id=99)
    with pytest.raises(UserError, match='no weights for all'):
        PoseDensitySampler(dataset, file)
    with pytest.raises(UserError, match='density fit'):
        PoseDensitySampler(dataset, file + '.no')


def test_weights_need_no_images(people):
    dataset, file, weights = people

    def combined_people(**arguments):
        # its pipeline would read images, which are not there
        config = dict(type='CocoDataset', data_root=dataset.data_root,
                      ann_file='annotations/person_keypoints_train2017.json',
                      data_prefix=dict(img='nowhere/'),
                      pipeline=[dict(type='LoadImage')])
        return DATASETS.build(dict(
            type='CombinedDataset', datasets=[config, config],
            metainfo=dict(from_file='configs/_base_/datasets/coco.py'), **arguments))

    sampler = PoseDensitySampler(combined_people(), file)
    np.testing.assert_array_equal(sampler.weights, [*weights, *weights])
    with pytest.raises(UserError, match='sample_ratio_factor'):
        PoseDensitySampler(combined_people(sample_ratio_factor=[2., 1.]), file)
