import pytest

from tests.ledger.repository import Repository


@pytest.fixture
def repository(tmp_path):
    """Without a commit, on the branch main."""
    top = (tmp_path / "shop").resolve()
    top.mkdir()
    made = Repository(top)
    made.git("init", "-q", "-b", "main")
    return made
