import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def mmpose_scope():
    """Find transforms by their names, as a runner does."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        yield
