from __future__ import annotations

from pathlib import Path

import pytest

from tokenomics_core.agents import Profiles, load_profiles
from tokenomics_core.config import Config
from tokenomics_core.providers import Catalogue, load_catalogue


@pytest.fixture(scope="session")
def profiles() -> Profiles:
    nowhere = Path("/nonexistent")
    return load_profiles(nowhere, nowhere, nowhere)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    nowhere = Path("/nonexistent")
    return load_catalogue(Config(dir=nowhere), nowhere, nowhere)
