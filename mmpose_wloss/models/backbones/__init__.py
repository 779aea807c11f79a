from .preact_hourglass import PreActHourglassNet

__all__ = ['PreActHourglassNet']
