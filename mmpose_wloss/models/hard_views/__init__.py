from .cutout import BoxStep, CutMix, Cutout, JointCutOcclude, JointCutout
from .hard_affine import HardAffine
from .hard_view import HardView, HardViewStep
from .rand_augment import RandAugment

__all__ = ['BoxStep', 'CutMix', 'Cutout', 'HardAffine', 'HardView', 'HardViewStep',
           'JointCutOcclude', 'JointCutout', 'RandAugment']
