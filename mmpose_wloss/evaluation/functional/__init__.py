from .bootstrap import Interval, bootstrap_sums, mean_with_interval
from .coco_annotations import copied_annotations, read_annotations
from .error_line import ErrorLine, fit_error_line
from .tables import markdown_table, people_split_table
from .vectorized_coco_eval import VectorizedCOCOeval

__all__ = [
    'ErrorLine', 'Interval', 'VectorizedCOCOeval', 'bootstrap_sums',
    'copied_annotations', 'fit_error_line', 'markdown_table',
    'mean_with_interval', 'people_split_table', 'read_annotations'
]
