from .easy_hard_consistency import EasyHardConsistency
from .pose_cons import PoseCons
from .pose_dual import PoseDual

__all__ = ['EasyHardConsistency', 'PoseCons', 'PoseDual']
