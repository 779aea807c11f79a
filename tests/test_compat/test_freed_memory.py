"""Memory that a process frees serves its next allocation, and no more is held."""

import platform
import resource

from mmpose_wloss.compat.freed_memory import keep_freed_memory

import numpy as np
import pytest
import torch

glibc_only = pytest.mark.skipif(
    platform.libc_ver()[0] != 'glibc', reason='it tells glibc what to do')
MEGABYTE = 2**20


def faults_and_peak(megabytes: int, steps: int) -> tuple[int, float]:
    """Page faults of arrays made and freed, and the peak of memory in MB."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(steps):
        np.ones(megabytes * MEGABYTE // 8)
        np.ones(megabytes * MEGABYTE // 2 // 8)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_minflt - before.ru_minflt, after.ru_maxrss / 1024


def measure(_: int) -> None:
    stock, peak = faults_and_peak(80, steps=5)
    assert keep_freed_memory()
    faults_and_peak(80, steps=1)
    kept, new_peak = faults_and_peak(80, steps=5)
    assert kept < stock / 4
    assert new_peak < peak + 50


@glibc_only
def test_freed_memory_is_used_again(monkeypatch):
    for name in ('MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES'):
        monkeypatch.delenv(name, raising=False)
    torch.multiprocessing.start_processes(measure, start_method='fork')


@glibc_only
@pytest.mark.parametrize('name', ['MALLOC_TRIM_THRESHOLD_', 'GLIBC_TUNABLES'])
def test_what_the_environment_says_stays(monkeypatch, name):
    monkeypatch.setenv(name, '131072')
    assert not keep_freed_memory()


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
    assert not keep_freed_memory()
