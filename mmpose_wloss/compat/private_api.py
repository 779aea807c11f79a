"""What we take from mmengine, mmpose and torch that they do not publish.

Each function says what public one is missing; it can go when there is one. A
test of each fails when upstream changes.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten
from torch.utils.data import DataLoader


def start_workers_anew(loader: DataLoader) -> None:
    """Let persistent workers end before the next epoch, and new ones start.

    torch has no public way to end the workers of a loader.
    """
    loader._iterator = None


def is_resuming(runner: Runner) -> bool:
    """Whether a runner resumes a training, rather than load weights alone.

    mmengine tells the hooks of both in the same words.
    """
    return runner._resume


def current_visualizer() -> Visualizer | None:
    """The visualizer that was built last, if any was.

    mmengine's ``get_current_instance`` raises an error where there is none,
    and never releases its lock; it has no public way to ask before.
    """
    return (Visualizer.get_current_instance() if Visualizer._instance_dict
            else None)


def history_statistics() -> Mapping[str, Any]:
    """The statistics of a log history by name, which its pickle refers to.

    mmengine registers them publicly, but does not list them.
    """
    HistoryBuffer()  # the first one registers its own
    return HistoryBuffer._statistics_methods


def turns_channels(preprocessor: nn.Module) -> bool:
    """Whether a preprocessor turns BGR into RGB, or the other way round.

    mmengine's preprocessor does not keep its ``bgr_to_rgb``.
    """
    return getattr(preprocessor, '_channel_conversion', False)


def human36m_video(file: str) -> tuple[str, str, str]:
    """Subject, action and camera of an image of Human3.6M, from its name.

    mmpose's data set publishes only the camera's parameters of a name.

    Raises:
        ValueError: If the name says none of them.
    """
    # the stack is only being prepared when this module is imported
    from mmpose.datasets.datasets import Human36mDataset

    return Human36mDataset._parse_h36m_imgname(file)


def leaves(tree: Any) -> list:
    """What nested tuples, lists and dicts hold, in order.

    torch publishes its trees neither in 2.1 nor in 2.14.
    """
    return tree_flatten(tree)[0]


def keep_module_versions(part: OrderedDict, state: Mapping[str, Tensor],
                         place: str) -> None:
    """Let the part of a state under ``place`` keep its modules' versions.

    Modules read there how to load an older state. torch has no public way to
    take a part of a state.
    """
    part._metadata = OrderedDict(
        (key[len(place):], value)
        for key, value in getattr(state, '_metadata', {}).items()
        if f'{key}.'.startswith(place))


def place_in_sources(dataset: BaseDataset, index: int) -> tuple[int, int]:
    """The data set of a ``CombinedDataset`` that has a sample, and its index there.

    mmpose has no public way to it without the sample's image.
    """
    return dataset._get_subset_index(index)
