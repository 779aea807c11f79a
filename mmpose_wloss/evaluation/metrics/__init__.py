from .lsp_pck_accuracy import LSPPCKAccuracy
from .pcp_accuracy import PCPAccuracy
from .people_counts import PeopleCounts
from .people_split_metric import PeopleSplitMetric
from .pose_rarity_metric import PoseRarityMetric

__all__ = ['LSPPCKAccuracy', 'PCPAccuracy', 'PeopleCounts',
           'PeopleSplitMetric', 'PoseRarityMetric']
