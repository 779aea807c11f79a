from .cutout import BoxStep, CutMix, Cutout, JointCutOcclude, JointCutout
from .hard_affine import HardAffine
from .hard_view import HardView, HardViewStep
from .horizontal_flip import HorizontalFlip
from .keypoint_mask import KeypointMask
from .keypoint_mix import KeypointMix
from .rand_augment import RandAugment

__all__ = ['BoxStep', 'CutMix', 'Cutout', 'HardAffine', 'HardView', 'HardViewStep',
           'HorizontalFlip', 'JointCutOcclude', 'JointCutout', 'KeypointMask',
           'KeypointMix', 'RandAugment']
