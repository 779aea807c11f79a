from .centered_regression_head import CenteredRegressionHead

__all__ = ['CenteredRegressionHead']
