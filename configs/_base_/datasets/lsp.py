# The joints of Leeds Sports Pose, for data sets in COCO's layout
from mmpose_wloss.datasets.datasets import lsp as _lsp

dataset_info = _lsp.LSPDataset.METAINFO
