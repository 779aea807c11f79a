from pathlib import Path

import pytest
from conftest import VIDEOS, human36m_annotation, write_human36m
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def mmpose_scope():
    """Find transforms by their names, as a runner does."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        yield


@pytest.fixture
def h36m_annotation() -> dict:
    """Arrays of two videos, of 6 and of 3 frames."""
    return human36m_annotation(VIDEOS[:2])


@pytest.fixture
def write_h36m(tmp_path):
    """Writes arrays as an annotation of training, and gives its root."""
    def write(annotation: dict) -> Path:
        write_human36m(tmp_path, train=annotation)
        return tmp_path
    return write
