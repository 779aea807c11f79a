import os
from importlib.metadata import PackageNotFoundError

import pytest

from annypose import RenderParameters, render_dataset

COUNTS = dict(train=14, val=4, unlabeled=4)


@pytest.fixture(scope='session', autouse=True)
def body_model_cache(pytestconfig):
    """Keep what anny prepares between runs, within this folder."""
    os.environ.setdefault('ANNY_CACHE_DIR', str(pytestconfig.cache.mkdir('anny')))


@pytest.fixture(scope='session')
def model():
    pytest.importorskip('anny', reason='the body model is not installed')
    from annypose.body import BodyModel
    return BodyModel()


@pytest.fixture
def without_anny(monkeypatch):
    """As if the package of the body model was not installed."""
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr('importlib.metadata.version', version)


@pytest.fixture(scope='session')
def parameters():
    return RenderParameters(seed=3, size=64, people=0.3, occluders=0.3)


@pytest.fixture(scope='session')
def counts():
    return COUNTS


@pytest.fixture(scope='session')
def rendered(tmp_path_factory, parameters):
    """A small data set and its summary, by two processes in one go."""
    pytest.importorskip('anny', reason='the body model is not installed')
    out = tmp_path_factory.mktemp('rendered') / 'set'
    summary = render_dataset(out, COUNTS, parameters, workers=2, progress=False)
    return out, summary
