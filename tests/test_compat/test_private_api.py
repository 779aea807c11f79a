"""What we take from upstream's privates does what we take it for."""

import io
import pickle
from collections import OrderedDict

from mmpose_wloss.compat.private_api import (
    current_visualizer,
    history_statistics,
    human36m_video,
    is_resuming,
    keep_module_versions,
    leaves,
    start_workers_anew,
    turns_channels,
)

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.structures import PoseDataSample
from torch import nn
from torch.utils.data import DataLoader, Dataset, get_worker_info


class WorkersDataset(Dataset):
    """Says in which process it is loaded."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return get_worker_info().seed


def test_workers_start_anew():
    loader = DataLoader(WorkersDataset(), num_workers=1,
                        persistent_workers=True)
    first, second = list(loader), list(loader)
    assert first == second
    start_workers_anew(loader)
    assert list(loader) != second
    start_workers_anew(DataLoader(WorkersDataset()))


class Weight(BaseModel):
    """One number."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs=None, data_samples=None, mode='loss'):
        return dict(loss=self.weight.sum())


@pytest.mark.parametrize('resume', [False, True])
@pytest.mark.parametrize('load_from', [None, 'epoch_1.pth'])
def test_a_runner_that_resumes(tmp_path, load_from, resume):
    for epochs in (1, 2):
        runner = Runner(
            Weight(), str(tmp_path), dict(
                batch_size=1, dataset=[dict()],
                sampler=dict(type='DefaultSampler')),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=.1)),
            default_scope='mmpose', experiment_name=f'{tmp_path.name}_{epochs}',
            **dict(load_from=load_from and str(tmp_path / load_from),
                   resume=resume) if epochs == 2 else {})
        runner.train()
        assert is_resuming(runner) == (resume and epochs == 2)


def test_the_current_visualizer(monkeypatch):
    monkeypatch.setattr(Visualizer, '_instance_dict', OrderedDict())
    assert current_visualizer() is None
    for name in ('private_api_first', 'private_api_second'):
        assert Visualizer.get_instance(name) is current_visualizer()


class Reader(pickle.Unpickler):
    """Keeps what methods of a history a pickle asks for."""

    def __init__(self, *args):
        super().__init__(*args)
        self.named = set()

    def find_class(self, module, name):
        if name == 'getattr':
            return lambda owner, name: self.named.add(name) or getattr(
                owner, name)
        return super().find_class(module, name)


def test_statistics_of_a_history_are_what_its_pickle_names():
    buffer = HistoryBuffer([1., 2., 6.], [1, 1, 1])
    statistics = history_statistics()
    for name in ('mean', 'min', 'max', 'current'):
        assert statistics[name](buffer) == buffer.statistics(name)
    # as torch.save writes it, by protocol 2
    reader = Reader(io.BytesIO(pickle.dumps(buffer, 2)))
    reader.load()
    assert reader.named and reader.named <= statistics.keys()


@pytest.mark.parametrize('arguments, turned', [
    (dict(bgr_to_rgb=True), True), (dict(rgb_to_bgr=True), True),
    (dict(), False)])
def test_a_preprocessor_that_turns_channels(arguments, turned):
    preprocessor = PoseDataPreprocessor(**arguments)
    image = torch.arange(3, dtype=torch.uint8).reshape(3, 1, 1)
    images = preprocessor(dict(
        inputs=[image], data_samples=[PoseDataSample()]))['inputs']
    assert images.flatten().tolist() == ([2, 1, 0] if turned else [0, 1, 2])
    assert turns_channels(preprocessor) is turned
    assert not turns_channels(nn.Identity())


def test_the_video_of_an_image_of_human36m():
    assert human36m_video('S1/S1_Directions_1.54138969_000001.jpg') == (
        'S1', 'Directions_1', '54138969')
    for name in ('1.jpg', 'S1_Directions.jpg', 'image'):
        with pytest.raises(ValueError):
            human36m_video(name)


def test_leaves():
    assert leaves(1) == [1]
    assert leaves((1, [2, dict(a=3, b=(4, ))], ())) == [1, 2, 3, 4]
    tensor = torch.zeros(2)
    assert leaves([tensor])[0] is tensor


class Versioned(nn.Module):
    """Notes in which version a state was written that it is given."""

    _version = 3

    def _load_from_state_dict(self, state_dict, prefix, local_metadata,
                              *arguments) -> None:
        self.written_by = local_metadata.get('version')


@pytest.mark.parametrize('versions', [True, False])
def test_a_part_of_a_state_keeps_the_versions_of_its_modules(versions):
    network = nn.ModuleDict(dict(deep=Versioned()))
    state = nn.ModuleDict(dict(
        student=network, other=nn.Linear(1, 1))).state_dict()
    part = OrderedDict()
    # a state without versions, as of safetensors, gives none
    keep_module_versions(part, state if versions else {}, 'student.')
    network.load_state_dict(part)
    assert network['deep'].written_by == (3 if versions else None)
