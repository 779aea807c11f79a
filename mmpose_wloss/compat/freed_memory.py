"""Memory that a training frees on a CPU, kept for its next step.

A step's activations are too large for glibc's own lists: freed, they go back to
the kernel, which hands out the same pages again in the next step, cleared. This
can go when torch keeps a CPU's memory as it keeps a GPU's.
"""

import ctypes
import os
import platform

# of malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Let glibc keep what this process frees, until the process ends.

    Its peak of memory stays what it was; between steps it holds on to it. Where
    the environment tells glibc what to do (``MALLOC_…``, ``GLIBC_TUNABLES``),
    nothing changes, and so with other C libraries.

    Returns:
        bool: Whether freed memory is kept.
    """
    if (platform.libc_ver()[0] != 'glibc' or 'GLIBC_TUNABLES' in os.environ
            or any(name.startswith('MALLOC_') for name in os.environ)):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
