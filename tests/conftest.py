"""What every test may ask for, and the guard around all of them."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import loopback_guard
from tests.fake_provider import FakeProvider
from tests.support.certificates import TestAuthority, make_authority
from tests.support.proxy import Proxy

loopback_guard.install()

# On a fresh and busy machine the first example waits for hypothesis's own tables; time is no test here.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

PROXIES = pytest.StashKey[list[Proxy]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[PROXIES] = []
    # What a shell starts in the background ignores Ctrl-C, and so does all that it starts; tests press it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds to a failure what the proxies said."""
    report = yield
    if report.failed:
        for proxy in item.config.stash[PROXIES]:
            report.sections.append((f"proxy on port {proxy.http_port}", proxy.log()[-20_000:]))
    return report


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    """The authority that vouches for the fake provider's TLS."""
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def provider_server(authority: TestAuthority) -> Iterator[FakeProvider]:
    """The one fake provider of this test process. Tests ask for `fake_provider`, which resets it."""
    with FakeProvider(certificate=(authority.certificate, authority.key)) as provider:
        yield provider


@pytest.fixture
def fake_provider(provider_server: FakeProvider) -> Iterator[FakeProvider]:
    """The fake provider, without records and script; fails the test when it has a fault of its own."""
    provider_server.reset()
    yield provider_server
    assert provider_server.bugs == []
