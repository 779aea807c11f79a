from .lsp_pck_accuracy import LSPPCKAccuracy
from .pcp_accuracy import PCPAccuracy
from .pose_rarity_metric import PoseRarityMetric

__all__ = ['LSPPCKAccuracy', 'PCPAccuracy', 'PoseRarityMetric']
