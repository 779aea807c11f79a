from .bootstrap import Interval, bootstrap_sums, mean_with_interval
from .error_line import ErrorLine, fit_error_line
from .tables import markdown_table, people_split_table

__all__ = [
    'ErrorLine', 'Interval', 'bootstrap_sums', 'fit_error_line',
    'markdown_table', 'mean_with_interval', 'people_split_table'
]
