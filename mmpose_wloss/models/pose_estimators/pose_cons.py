from mmpose.registry import MODELS

from .easy_hard_consistency import EasyHardConsistency


@MODELS.register_module()
class PoseCons(EasyHardConsistency):
    """One network that teaches itself, from the easy view to the hard one.

    Its arguments are those of :class:`EasyHardConsistency`.
    """

    TEACHERS = dict(first='first')
