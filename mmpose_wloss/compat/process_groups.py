"""Process groups that begin without GPUs and end before the interpreter does.

MMEngine leaves them open. Beside torch 2.14 a thread of gloo may then release a
tensor while the interpreter ends, which aborts the process: a training that
went well counts as failed. It can go when MMEngine ends what it has started.
"""

import gc
import time

import torch
from mmengine.config import Config
from mmengine.device import get_device

RELEASE = 0.1  # seconds


def start_cpu_processes(cfg: Config) -> None:
    """Start a distributed run without GPUs, which MMEngine cannot by itself.

    It takes a GPU for each process. The config is changed in place.
    """
    if cfg.launcher == 'pytorch' and get_device() == 'cpu':
        torch.distributed.init_process_group('gloo')
        cfg.setdefault('model_wrapper_cfg', dict(
            type='MMDistributedDataParallel', device_ids=None,
            find_unused_parameters=cfg.get('find_unused_parameters', False)))


def end_process_groups() -> None:
    """End the process groups of a distributed run, and their threads."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # a thread needs Python's lock to release its last tensor, and where
        # the group waits for the thread (torch 2.1) it holds that lock
        time.sleep(RELEASE)
        torch.distributed.destroy_process_group()
        # cycles of references keep them, and the threads with them
        gc.collect()
