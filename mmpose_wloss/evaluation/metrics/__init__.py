from .lsp_pck_accuracy import LSPPCKAccuracy
from .pcp_accuracy import PCPAccuracy

__all__ = ['LSPPCKAccuracy', 'PCPAccuracy']
