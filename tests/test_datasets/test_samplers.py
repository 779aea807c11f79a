import itertools
from collections import Counter

from mmpose_wloss.common.errors import UserError
from mmpose_wloss.datasets import DrawSampler, EpochMultiSourceSampler

import mmpose.datasets.samplers as stock_samplers
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
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
