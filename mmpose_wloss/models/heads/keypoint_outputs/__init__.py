"""What heads' outputs say of joints and how they are taught, one file a kind."""

from .base import JointOutputs, KeypointOutputs, per_axis
from .coordinate_outputs import CoordinateOutputs
from .factory import check_weighted, head_of, keypoint_outputs
from .heatmap_outputs import HeatmapOutputs
from .offset_outputs import OffsetOutputs
from .simcc_outputs import SimCCOutputs
from .structures import (
    Output,
    at_least_float32,
    average,
    average_fields,
    cloned,
    describe,
    mapped,
    scaled,
    select,
)

__all__ = [
    'CoordinateOutputs', 'HeatmapOutputs', 'JointOutputs', 'KeypointOutputs',
    'OffsetOutputs', 'Output', 'SimCCOutputs', 'at_least_float32', 'average',
    'average_fields', 'check_weighted', 'cloned', 'describe', 'head_of',
    'keypoint_outputs', 'mapped', 'per_axis', 'scaled',
    'select'
]
