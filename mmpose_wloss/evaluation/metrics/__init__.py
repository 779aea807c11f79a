from .coordinate_mse import CoordinateMSE
from .fast_coco_metric import FastCocoMetric, FastCocoWholeBodyMetric
from .lsp_metrics import LSPPCKAccuracy, PCPAccuracy
from .metric_wrapper import MetricWrapper
from .mpii_mean_pck_accuracy import MpiiMeanPCKAccuracy
from .people_counts import PeopleCounts
from .people_split_metric import PeopleSplitMetric
from .pose_rarity_metric import PoseRarityMetric

__all__ = ['CoordinateMSE', 'FastCocoMetric', 'FastCocoWholeBodyMetric',
           'LSPPCKAccuracy', 'MetricWrapper', 'MpiiMeanPCKAccuracy', 'PCPAccuracy',
           'PeopleCounts', 'PeopleSplitMetric', 'PoseRarityMetric']
