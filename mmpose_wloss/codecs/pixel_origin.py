from mmpose.codecs import MegviiHeatmap
from mmpose.codecs.base import BaseKeypointCodec

from .hourglass_heatmap import HourglassHeatmap


def pixel_origin(codec: BaseKeypointCodec) -> float:
    """Where a heatmap's pixel 0 lies on the input, in pixels of the heatmap.

    Args:
        codec (BaseKeypointCodec): What encodes heatmaps and has a ``scale_factor``.

    Returns:
        float: 0.5 of those that round joints down and decode to a pixel's middle,
        else 0.
    """
    return 0.5 if isinstance(codec, (MegviiHeatmap, HourglassHeatmap)) else 0.
