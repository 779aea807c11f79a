from types import SimpleNamespace

from mmpose_wloss.datasets.wrapped_datasets import walk_datasets, wrapped_by


def test_all_data_sets_within_one():
    first, second = SimpleNamespace(datasets=[]), SimpleNamespace(dataset=None)
    repeated = SimpleNamespace(dataset=second)
    combined = SimpleNamespace(datasets=[first, repeated])
    assert wrapped_by(combined) == [first, repeated]
    assert wrapped_by(repeated) == [second] and not wrapped_by(second)
    assert list(map(id, walk_datasets(combined))) == list(map(
        id, (combined, first, repeated, second)))
