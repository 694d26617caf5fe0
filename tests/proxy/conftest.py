"""Started proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.conftest import PROXIES
from tests.fake_provider import FakeProvider
from tests.proxy.attacks import undisturbed
from tests.support.certificates import TestAuthority
from tests.support.clients import ClientRun, run_client
from tests.support.proxy import Proxy

StartProxy = Callable[..., Proxy]


@pytest.fixture(scope="session")
def make_proxy(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    provider_server: FakeProvider,
    authority: TestAuthority,
) -> Callable[..., Proxy]:
    """Builds a proxy in front of the fake provider, without starting it.

    config and environ as `Proxy` takes them; upstream_tls: speak TLS to the provider; kind: the class.
    """

    def make(
        config: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        *,
        upstream_tls: bool = False,
        kind: type[Proxy] = Proxy,
    ) -> Proxy:
        proxy = kind(
            tmp_path_factory.mktemp("proxy"),
            provider_server.tls_url if upstream_tls else provider_server.url,
            upstream_ca=authority.ca if upstream_tls else None,
            config=config,
            environ=environ,
        )
        request.config.stash[PROXIES].append(proxy)
        return proxy

    return make


@pytest.fixture(scope="session")
def shared_proxy(make_proxy: StartProxy) -> Iterator[Proxy]:
    """The proxy with default settings that the tests of this process share."""
    with make_proxy() as proxy:
        yield proxy


@pytest.fixture
def proxy(shared_proxy: Proxy, fake_provider: FakeProvider) -> Iterator[Proxy]:
    """The shared proxy, in front of a fake provider without records. It must not try to leave loopback."""
    assert shared_proxy.alive, "the proxy has died"
    before = len(shared_proxy.refusals())
    yield shared_proxy
    assert shared_proxy.refusals()[before:] == []


@pytest.fixture
def calm(proxy: Proxy) -> Iterator[None]:
    """For tests that attack the shared proxy: it must get over it."""
    with undisturbed(proxy):
        yield


@pytest.fixture
def start_proxy(
    make_proxy: StartProxy, fake_provider: FakeProvider, request: pytest.FixtureRequest
) -> Iterator[StartProxy]:
    """Starts proxies with settings of their own (as `make_proxy`), and stops them after the test."""
    started: list[Proxy] = []

    def start(*arguments: Any, **options: Any) -> Proxy:
        proxy = make_proxy(*arguments, **options)
        started.append(proxy)
        proxy.start()
        return proxy

    yield start
    for proxy in started:
        proxy.stop()
        request.config.stash[PROXIES].remove(proxy)
    assert [proxy.refusals() for proxy in started] == [[] for _ in started]


@pytest.fixture(scope="module")
def run_sdk(
    tmp_path_factory: pytest.TempPathFactory, provider_server: FakeProvider
) -> Callable[..., ClientRun]:
    """Runs a client script and keeps what the fake provider saw of it: see `run_client`."""

    def run(script: str, runs: Mapping[str, Mapping[str, str]], checks: list[str] | None = None) -> ClientRun:
        provider_server.reset()
        results = run_client(script, tmp_path_factory.mktemp("client"), runs, checks)
        assert provider_server.bugs == []
        return ClientRun(results, provider_server.records)

    return run
