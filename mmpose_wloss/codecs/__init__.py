from .centered_regression_label import CenteredRegressionLabel

__all__ = ['CenteredRegressionLabel']
