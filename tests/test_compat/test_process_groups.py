"""A distributed run ends its process groups, and nothing else does."""

from pathlib import Path

from mmpose_wloss.compat.process_groups import end_process_groups, start_cpu_processes

import pytest
import torch
from mmengine.config import Config

TASKS = Path('/proc/self/task')  # a folder for each thread
def all_reduce_and_end(rank: int, folder: Path) -> None:
    torch.distributed.init_process_group(
        'gloo', f'file://{folder}/store', rank=rank, world_size=1)
    threads = len(list(TASKS.iterdir()))
    torch.distributed.all_reduce(torch.ones(1))
    end_process_groups()
    assert not torch.distributed.is_initialized()
    assert len(list(TASKS.iterdir())) < threads


@pytest.mark.skipif(not TASKS.exists(), reason='this system lists no threads')
def test_groups_and_their_threads_end(tmp_path):
    torch.multiprocessing.start_processes(
        all_reduce_and_end, (tmp_path, ), start_method='fork')


def test_a_run_of_one_process_has_none():
    end_process_groups()
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize('unused', [{}, dict(find_unused_parameters=True)])
def test_processes_without_gpus_mind_parameters_that_are_not_used(unused, monkeypatch):
    monkeypatch.setattr('mmpose_wloss.compat.process_groups.get_device', lambda: 'cpu')
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda backend: None)
    cfg = Config(dict(launcher='pytorch', **unused))
    start_cpu_processes(cfg)
    assert cfg.model_wrapper_cfg.device_ids is None
    assert cfg.model_wrapper_cfg.find_unused_parameters == bool(unused)
