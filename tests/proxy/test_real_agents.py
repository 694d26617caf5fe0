"""scripts/real_agents.py: what needs no installation runs here, so that the script stays whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.real_agents import PAGE, table
from scripts.real_clients import INSTALLED, LOCAL, WAYS, Client, Way
from scripts.real_lab import Lab, Outcome, laboratory
from tests.support.assertions import assert_only_key


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with laboratory(tmp_path_factory.mktemp("real-agents")) as lab:
        yield lab


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "client",
    [
        pytest.param(
            client, marks=[] if client.provider.name == "openai" else [pytest.mark.long], id=client.name
        )
        for client in LOCAL
    ],
)
def test_a_client_works(lab: Lab, client: Client, way: Way) -> None:
    outcome = lab.ask(client, way)
    assert outcome.worked, (outcome.note, outcome.output)
    assert [row["ingress"] for row in outcome.rows] == ["base_url" if way == "base-url" else "tunnel"]
    assert_only_key(lab.provider.records, lab.proxy.keys[client.provider.key_env])
    # And the last line of `run` says the same.
    assert f"1 request, {sum(outcome.tokens)} tokens" in outcome.output
    assert "1 masked (people)" in outcome.output


def test_what_goes_wrong_is_said(lab: Lab) -> None:
    broken = Client(
        "curl", "curl", lambda asked: ["curl", "-q", "-sS", "https://example.com"], LOCAL[0].provider
    )
    outcome = lab.ask(broken, "proxy")
    assert not outcome.worked
    assert outcome.note.startswith("exit code 56: ")
    assert outcome.others == ["`example.com` (refused)"]


def test_a_row_of_the_table() -> None:
    outcome = Outcome("curl", "8.0", "proxy", answered=False, note="exit code 7: a | b")
    assert table([outcome]).splitlines()[2].startswith(r"| curl | 8.0 | `proxy` | no: exit code 7: a \| b |")


def test_the_page_has_every_client_by_both_ways() -> None:
    text = Path(PAGE).read_text()
    for client in [*LOCAL, *INSTALLED]:
        for way in WAYS:
            found = [line for line in text.splitlines() if line.startswith(f"| {client.name} |")]
            assert any(f"| `{way}` |" in line for line in found), (client.name, way)
