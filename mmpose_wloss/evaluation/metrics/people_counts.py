import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath


class PeopleCounts:
    """How many people images show, from annotation files.

    Each person that the files annotate counts, whether with joints or
    without; the same person in two of them counts once. A region of COCO that
    is a crowd counts as two people. Three formats are read: COCO's, MPII's in
    MMPose's list of records, and the list of records with
    ``numOtherPeople`` that convolutional pose machines and the source's code
    use, which also tells of people without an annotation.

    Args:
        files (Sequence[str]): The files.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If one has none of these formats.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.files = [files] if isinstance(files, str) else list(files)
        self._people = defaultdict(set)
        self._told = defaultdict(int)
        for file in self.files:
            self._read(file)

    def of(self, image: str) -> int | None:
        """Number of people in an image.

        Args:
            image (str): Its path, which ends in the name that a file has.

        Returns:
            int | None: ``None`` if no file names the image.
        """
        parts = PurePosixPath(image).parts
        for start in range(len(parts)):
            name = '/'.join(parts[start:])
            if name in self._told:
                return max(self._told[name], len(self._people[name]))
        return None

    def _read(self, file: str) -> None:
        if not Path(file).is_file():
            raise FileNotFoundError(
                f'there is no annotation file {file}, which people_files names')
        try:
            content = json.loads(Path(file).read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f'{file} is no JSON file: {error}') from error
        try:
            if isinstance(content, dict):
                self._read_coco(content)
            else:
                self._read_records(content)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{file} is neither in COCO's format, with images and "
                "annotations, nor a list of MPII's people, with image or "
                f'img_paths, center or objpos, and scale: {error!r}'
            ) from error

    def _read_coco(self, content: dict) -> None:
        names = {one['id']: one['file_name'] for one in content['images']}
        for name in names.values():
            self._told.setdefault(name, 0)
        categories = content.get('categories') or []
        person = {one['id'] for one in categories if one['name'] == 'person'}
        for one in content['annotations']:
            if person and one['category_id'] not in person:
                continue
            people = self._people[names[one['image_id']]]
            people.add(one['id'])
            if one.get('iscrowd'):
                people.add((one['id'], 'another'))

    def _read_records(self, content: list) -> None:
        for one in content:
            key = 'image' if 'image' in one else 'img_paths'
            name = one[key]
            center, scale = ((one['center'], one['scale']) if key == 'image'
                             else (one['objpos'], one['scale_provided']))
            # the two formats may count pixels from 0 and from 1
            self._people[name, key].add((*center, scale))
            self._told[name] = max(
                self._told[name], len(self._people[name, key]),
                1 + int(one.get('numOtherPeople') or 0))
