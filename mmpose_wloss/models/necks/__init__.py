from .vgg_classifier_neck import VGGClassifierNeck

__all__ = ['VGGClassifierNeck']
