"""Annotations in COCO's format."""

import json
import warnings
from collections import Counter
from pathlib import Path

from pycocotools import coco


class COCO(coco.COCO):
    """Annotations of a file, where ``iscrowd`` may be missing.

    It warns where annotations or images share an id: only the last of those is found
    then, in the place of the others too.

    Args:
        annotation_file (str, optional): The file.
        test_index (Sequence[int], optional): The keypoints to keep, by number.

    Attributes:
        anno_file (List[str]): The file, and that of the results loaded first.
    """

    def __init__(self, annotation_file: str | None = None,
                 test_index: list | None = None):
        super().__init__(annotation_file)
        self.anno_file = [annotation_file]
        self.test_index = test_index
        for kind, found in (('annotations', self.anns), ('images', self.imgs)):
            entries = self.dataset.get(kind, ())
            if len(found) < len(entries):
                times = Counter(each['id'] for each in entries)
                first = next(key for key in times if times[key] > 1)
                warnings.warn(
                    f'{annotation_file}: only {len(found)} of {len(entries)} {kind} '
                    f'have an id of their own. {times[first]} have the id {first}, and '
                    'the last of them takes the place of the others. Number them anew',
                    stacklevel=2)
        for annotation in self.dataset.get('annotations', ()):
            annotation.setdefault('iscrowd', False)
            if test_index is not None:
                numbers = annotation['keypoints']
                annotation['keypoints'] = [
                    number for index in test_index
                    for number in numbers[3 * index:3 * index + 3]]

    def loadRes(self, resFile):
        """Results as annotations of the same images.

        Args:
            resFile (str or list or np.ndarray): As pycocotools takes them. An
                empty list is allowed.
        """
        if len(self.anno_file) == 1:
            self.anno_file.append(resFile)
        if isinstance(resFile, str):
            resFile = json.loads(Path(resFile).read_text())
        if len(resFile):
            return super().loadRes(resFile)
        results = COCO()
        results.dataset = dict(self.dataset, annotations=[])
        results.createIndex()
        return results
