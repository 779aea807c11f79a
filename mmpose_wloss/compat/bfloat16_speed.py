"""Whether a CPU gains by bfloat16.

Some have no instructions for it, and torch cannot be asked in all its versions:
then a convolution takes 2 to 25 times as long as in float32, with them half.
"""

import math
import time
from functools import cache

import torch
from torch.nn import functional


@cache
def bfloat16_over_float32() -> float:
    """Measure a convolution on this CPU, once per process.

    No random number is drawn.

    Returns:
        float: Time in bfloat16 over time in float32, of the fastest of five;
        infinite where torch refuses.
    """
    image, kernel = torch.ones(4, 64, 32, 32), torch.ones(64, 64, 3, 3)

    def seconds(dtype: torch.dtype) -> float:
        times = []
        with torch.inference_mode():
            operands = image.to(dtype), kernel.to(dtype)
            # the first one makes its kernel
            for _ in range(6):
                start = time.perf_counter()
                functional.conv2d(*operands, padding=1)
                times.append(time.perf_counter() - start)
        return min(times[1:])

    exact = seconds(torch.float32)
    try:
        return seconds(torch.bfloat16) / exact
    except RuntimeError:
        return math.inf
