from mmpose.registry import MODELS

from .easy_hard_consistency import EasyHardConsistency


@MODELS.register_module()
class PoseDual(EasyHardConsistency):
    """Two networks that teach each other, from the easy view to the hard one.

    Its arguments are those of :class:`EasyHardConsistency`.
    """

    TEACHERS = dict(first='second', second='first')
