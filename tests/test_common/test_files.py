"""Files are written whole or not at all."""

import errno
import hashlib
from pathlib import Path

from mmpose_wloss.common.errors import MissingFile, UserError
from mmpose_wloss.common.files import (
    check_config_path,
    digest_of_file,
    digest_of_files,
    list_images,
    read_json,
    replaced_whole,
    write_whole,
)

import pytest


def test_a_failed_write_leaves_old_files_whole(tmp_path):
    files = [tmp_path / 'new' / name for name in ('a.json', 'b.png')]
    for file in files:
        write_whole(file, 'old')
    with pytest.raises(RuntimeError):
        with replaced_whole(*files) as partials:
            assert [file.suffix for file in partials] == ['.json', '.png']
            partials[0].write_text('new')
            raise RuntimeError
    assert [file.read_text() for file in files] == ['old', 'old']
    assert len(list((tmp_path / 'new').iterdir())) == 2
    with replaced_whole(*files) as partials:
        for partial in partials:
            partial.write_text('new')
    assert [file.read_text() for file in files] == ['new', 'new']
    write_whole(files[0], b'\0')
    assert files[0].read_bytes() == b'\0'


def test_digests_are_sha256(tmp_path):
    files = [tmp_path / 'a', tmp_path / 'b']
    for file in files:
        file.write_text(file.name)
    digests = [hashlib.sha256(file.name.encode()).hexdigest() for file in files]
    assert [digest_of_file(file) for file in files] == digests
    assert digest_of_files(files[:1]) == digests[0]
    assert digest_of_files(files) == hashlib.sha256(
        '\n'.join(digests).encode()).hexdigest()


def test_images_are_listed_in_order_and_their_absence_is_named(tmp_path):
    with pytest.raises(MissingFile, match='none'):
        list_images(tmp_path / 'none')
    with pytest.raises(UserError, match=str(tmp_path)):
        list_images(tmp_path)
    for name in ('b.JPG', 'a.png', 'notes.txt'):
        (tmp_path / name).touch()
    (tmp_path / 'more').mkdir()
    (tmp_path / 'more' / 'c.webp').touch()
    # hidden ones are left out; links are followed, but not in circles
    (tmp_path / '.d.png').touch()
    (tmp_path / '.more').mkdir()
    (tmp_path / '.more' / 'd.png').touch()
    (tmp_path / 'more' / 'again').symlink_to(tmp_path)
    (tmp_path / 'z').symlink_to(tmp_path / '.more')
    assert [file.name for file in list_images(tmp_path)] == [
        'a.png', 'b.JPG', 'c.webp', 'd.png']


def test_json_that_is_none_is_named(tmp_path):
    file = tmp_path / 'boxes.json'
    with pytest.raises(MissingFile, match='boxes.json'):
        read_json(file)
    for content in (b'{"a": ', b'\xff\xfe'):
        file.write_bytes(content)
        with pytest.raises(UserError, match='boxes.json'):
            read_json(file)
    file.write_text('{"a": 1}')
    assert read_json(file) == dict(a=1)


def test_a_wrong_config_path_suggests_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    check_config_path('configs/hrnet_fmse_coco.py')
    with pytest.raises(MissingFile, match='\n *configs/hrnet_fmse_coco.py'):
        check_config_path('configs/hrnet_fsme_coco.py')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingFile, match='hrnet_fmse_coco'):
        check_config_path('hrnet_fsme_coco.py')
    with pytest.raises(MissingFile, match='xyz.py'):
        check_config_path(str(tmp_path / 'xyz.py'))


@pytest.mark.parametrize('content', [b'x = 1\ny = (', b'x = \0'])
def test_a_config_that_is_no_python(content, tmp_path):
    config = tmp_path / 'config.py'
    config.write_bytes(content)
    with pytest.raises(UserError, match='config.py'):
        check_config_path(str(config))
    config.write_bytes(b'x = 1')
    check_config_path(str(config))


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match='x.json') as error:
        with replaced_whole(tmp_path / 'x.json') as partial:
            partial.symlink_to('/dev/full')
            partial.write_text('new')
    assert error.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())
