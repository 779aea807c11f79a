from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from ...common.errors import UserError
from ...common.files import read_json


class PeopleCounts:
    """How many people images show, from annotation files.

    Each person that the files annotate counts, with joints or without; the
    same person in two of them counts once. A crowd of COCO counts as two
    people. Three formats are read: COCO's, MPII's in MMPose's list of records,
    and that of convolutional pose machines and the original code of fast pose
    distillation, whose ``numOtherPeople`` counts people without annotation.

    Args:
        files (str | Sequence[str]): The files.

    Raises:
        MissingFile: If there is no such file.
        UserError: If one has none of these formats.
    """

    def __init__(self, files: str | Sequence[str]) -> None:
        self.files = [files] if isinstance(files, str) else list(files)
        self._people = defaultdict(set)
        self._counts = defaultdict(int)
        for file in self.files:
            content = read_json(file, 'annotation file of people_files')
            try:
                if isinstance(content, dict):
                    self._read_coco(content)
                else:
                    self._read_records(content)
            except (KeyError, TypeError) as error:
                raise UserError(f"{file} is neither in COCO's format nor a "
                                f"list of MPII's people: {error!r}") from error

    def of(self, image: str) -> int | None:
        """Number of people in an image, if a file's name ends its path."""
        parts = PurePosixPath(image).parts
        for start in range(len(parts)):
            name = '/'.join(parts[start:])
            if name in self._counts:
                return max(self._counts[name], len(self._people[name]))
        return None

    def _read_coco(self, content: dict) -> None:
        names = {one['id']: one['file_name'] for one in content['images']}
        for name in names.values():
            self._counts[name] += 0
        person = {one['id'] for one in content.get('categories') or []
                  if one['name'] == 'person'}
        for one in content['annotations']:
            if person and one['category_id'] not in person:
                continue
            people = self._people[names[one['image_id']]]
            people.add(one['id'])
            if one.get('iscrowd'):
                people.add((one['id'], 'another'))

    def _read_records(self, content: list) -> None:
        for one in content:
            key, center, scale = (
                ('image', 'center', 'scale') if 'image' in one else
                ('img_paths', 'objpos', 'scale_provided'))
            name = one[key]
            # the two formats may count pixels from 0 and from 1
            self._people[name, key].add((*one[center], one[scale]))
            self._counts[name] = max(
                self._counts[name], len(self._people[name, key]),
                1 + int(one.get('numOtherPeople') or 0))
