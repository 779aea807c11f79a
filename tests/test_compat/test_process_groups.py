"""A distributed run ends its process groups, and nothing else does."""

import subprocess
import sys
from pathlib import Path

from mmpose_wloss.compat.process_groups import end_process_groups

import pytest
import torch

TASKS = Path('/proc/self/task')  # a folder for each thread
PROCESS = """
import os, sys
import torch
from mmpose_wloss.compat.process_groups import end_process_groups
torch.distributed.init_process_group(
    'gloo', f'file://{sys.argv[1]}/store', rank=0, world_size=1)
threads = len(list(os.scandir('/proc/self/task')))
torch.distributed.all_reduce(torch.ones(1))
end_process_groups()
assert not torch.distributed.is_initialized()
assert len(list(os.scandir('/proc/self/task'))) < threads
"""


@pytest.mark.skipif(not TASKS.exists(), reason='this system lists no threads')
def test_groups_and_their_threads_end(tmp_path):
    result = subprocess.run([sys.executable, '-c', PROCESS, str(tmp_path)],
                            text=True, capture_output=True)
    assert result.returncode == 0, result.stderr


def test_a_run_of_one_process_has_none():
    end_process_groups()
    assert not torch.distributed.is_initialized()
