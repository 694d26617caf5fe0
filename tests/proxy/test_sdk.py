"""The official SDKs work through the proxy, by every way in, as they do without it.

``direct`` is the same script at the fake provider itself: it shows that the expectation is right.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fake_provider import FakeProvider
from tests.proxy.sdks import SDKS
from tests.support.assertions import assert_only_key
from tests.support.clients import ClientRun
from tests.support.proxy import Proxy
from tests.support.ways import SDK_WAYS, directly, through

DIRECT_KEY = "sk-real-direct"
WAYS = ["direct", *SDK_WAYS]
Run = Callable[[str, str], ClientRun]


@pytest.fixture(scope="module")
def run(
    request: pytest.FixtureRequest, run_sdk: Callable[..., ClientRun], provider_server: FakeProvider
) -> Run:
    """Runs an SDK's checks directly, or by all ways through the proxy; asked again, it gives the same run."""
    done: dict[tuple[str, bool], ClientRun] = {}

    def once(name: str, way: str) -> ClientRun:
        sdk, direct = SDKS[name], way == "direct"
        if (name, direct) not in done:
            if direct:
                environs = {way: directly(provider_server, DIRECT_KEY)}
            else:
                proxy: Proxy = request.getfixturevalue("shared_proxy")
                token = proxy.token(sdk.policy)
                environs = {one: through(proxy, one, token) for one in SDK_WAYS}
            done[name, direct] = run_sdk(sdk.script, environs)
        return done[name, direct]

    return once


@pytest.mark.parametrize(
    ("name", "check"), [(name, check) for name, sdk in SDKS.items() for check in sdk.values]
)
@pytest.mark.parametrize("way", WAYS)
def test_value(run: Run, name: str, check: str, way: str) -> None:
    assert run(name, way).value(way, check) == SDKS[name].values[check]


@pytest.mark.parametrize(
    ("name", "check"), [(name, check) for name, sdk in SDKS.items() for check in sdk.errors]
)
@pytest.mark.parametrize("way", WAYS)
def test_error(run: Run, name: str, check: str, way: str) -> None:
    error = run(name, way).error(way, check)
    assert (error["error"], error["status"]) == SDKS[name].errors[check]


@pytest.mark.parametrize("name", SDKS)
def test_every_check_is_expected(run: Run, name: str) -> None:
    sdk = SDKS[name]
    assert run(name, "direct").results["direct"].keys() == sdk.values.keys() | sdk.errors.keys()


@pytest.mark.parametrize("name", SDKS)
def test_direct_requests_carry_the_key(run: Run, name: str) -> None:
    assert_only_key(run(name, "direct").records, DIRECT_KEY)


@pytest.mark.parametrize("name", SDKS)
def test_only_the_real_key_reaches_the_provider(run: Run, shared_proxy: Proxy, name: str) -> None:
    """The provider sees as many requests as without a proxy, each with the real key and no token."""
    through_proxy = run(name, "base").records
    assert len(through_proxy) == len(run(name, "direct").records) * len(SDK_WAYS)
    assert_only_key(through_proxy, shared_proxy.keys[SDKS[name].key_env])


@pytest.mark.parametrize(
    ("name", "header", "others"),
    [
        ("openai", "authorization", ["x-api-key", "api-key", "x-goog-api-key"]),
        ("azure", "api-key", ["authorization", "x-api-key", "x-goog-api-key"]),
        ("anthropic", "x-api-key", ["authorization", "api-key", "x-goog-api-key"]),
    ],
)
def test_key_stands_where_the_provider_wants_it(run: Run, name: str, header: str, others: list[str]) -> None:
    """Also when the client had its token in another header."""
    for record in run(name, "base").records:
        assert record.header(header)
        assert [record.header(other) for other in others] == [""] * len(others)


def test_azure_keeps_the_version_of_its_api(run: Run) -> None:
    assert {record.query["api-version"] for record in run("azure", "base").records} == {"2024-10-21"}
