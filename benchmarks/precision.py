"""In what a network trains faster on this machine: float32 or bfloat16.

A convolution alone does not tell: a CPU may gain by bfloat16 in a ResNet, and lose in
a network of depthwise convolutions.
"""

import json
import time
from functools import cache

from mmpose_wloss import register_all_modules

import torch
from mmengine.config import Config
from mmpose.registry import MODELS

STEPS, IMAGES = 5, 8
# a gain below this is not worth fewer digits, and noise could decide
GAIN = 0.8


def faster_precision(config: Config) -> str:
    """``'float32'`` or ``'bfloat16'``, by a few steps of the config's backbone.

    Beside a GPU it is float32: there, such small networks wait for other things.

    Args:
        config (Config): Of a training; of one that wraps networks, the first counts.
    """
    if torch.cuda.is_available():
        return 'float32'
    model = config.model
    channels_last = model.get('channels_last', False) or any(
        hook['type'] == 'ChannelsLastHook' for hook in config.get('custom_hooks', ()))
    for key in ('network', 'student'):
        model = model.get(key, model)
    codec = model.head.decoder
    size = (codec[0] if isinstance(codec, list) else codec).input_size
    backbone = {key: value for key, value in model.backbone.items()
                if key != 'init_cfg'}
    return _faster(json.dumps(backbone), tuple(size[1::-1]), channels_last)


@cache
def _faster(backbone: str, size: tuple[int, int], channels_last: bool) -> str:
    register_all_modules()
    network = MODELS.build(json.loads(backbone))
    network.train()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network.to(memory_format=layout)
    images = torch.rand(IMAGES, 3, *size).contiguous(memory_format=layout)

    def seconds(half: bool) -> float:
        start = time.process_time()
        with torch.autocast('cpu', torch.bfloat16, half):
            features = network(images)
        sum(each.float().mean() for each in features).backward()
        return time.process_time() - start

    try:
        # in turn, and by the time of this process: others come and go
        times = [(seconds(False), seconds(True)) for _ in range(STEPS)]
    except RuntimeError:  # torch has no such operator on this CPU
        return 'float32'
    exact, half = map(min, zip(*times, strict=True))
    return 'bfloat16' if half < GAIN * exact else 'float32'
