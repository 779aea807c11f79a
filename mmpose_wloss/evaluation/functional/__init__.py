from .bootstrap import Interval, bootstrap_totals, mean_with_interval
from .error_line import ErrorLine, fit_error_line

__all__ = [
    'ErrorLine', 'Interval', 'bootstrap_totals', 'fit_error_line',
    'mean_with_interval'
]
