"""Envelopes, signatures, filters, the message for people, and what an address may be."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics_core.config import Webhook
from tokenomics_core.events.addresses import forbidden
from tokenomics_core.events.envelope import Envelope, seal, timestamp
from tokenomics_core.events.filtering import wants
from tokenomics_core.events.receiver import receivers, shown
from tokenomics_core.events.signature import sign, sign_at, verify, verify_at
from tokenomics_core.events.slack import _TITLES, slack_body
from tokenomics_core.events.types import TYPES, Event, token_created, token_deleted

HASH = "bba56f48ebdf2da3b43fd69610d07ff4f4b22b0398cae6fb94af3c3152e9252e"
VECTOR = (
    b'{"id":"evt_00112233445566778899aabbccddeeff","type":"token.deleted",'
    b'"timestamp":"2026-03-01T09:00:00Z","data":{"token_hash":"ab12cd34"}}'
)


def test_the_body_is_the_vector_and_so_is_its_signature() -> None:
    envelope = Envelope(
        "evt_00112233445566778899aabbccddeeff",
        "token.deleted",
        "2026-03-01T09:00:00Z",
        {"token_hash": "ab12cd34"},
    )
    assert envelope.body() == VECTOR
    signature = "sha256=991ee00d330a085940659ec1803fe51337ecdf86b3f83d1d7727a721c965cd09"
    assert sign("spec-signing-key", VECTOR) == signature
    assert verify("spec-signing-key", VECTOR, signature)
    assert not verify("spec-signing-key", VECTOR + b" ", signature)


def test_data_is_sorted_and_left_out_when_empty() -> None:
    assert Envelope("i", "t", "s", {"b": 1, "a": "ü"}).body() == (
        '{"id":"i","type":"t","timestamp":"s","data":{"a":"ü","b":1}}'.encode()
    )
    assert Envelope("i", "t", "s", {}).body() == b'{"id":"i","type":"t","timestamp":"s"}'


def test_the_whole_hash_is_told_only_where_it_is_wanted() -> None:
    envelope = seal(token_created(HASH, "2027-01-01T00:00:00Z"), 0, lambda size: b"\1" * size)
    told = json.loads(envelope.body())
    assert told["data"] == {
        "expires_at": "2027-01-01T00:00:00Z",
        "token_hash": HASH[:8],
        "token_prefix": HASH[:16],
    }
    assert HASH not in envelope.body().decode()
    assert json.loads(envelope.body(full_token_hash=True))["data"]["token_hash_full"] == HASH
    assert told["id"] == "evt_" + "01" * 16


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (1_772_439_300_123_456_789, "2026-03-02T08:15:00.123456789Z"),
        (1_772_439_300_000_000_000, "2026-03-02T08:15:00Z"),
        (1_772_439_300_120_000_000, "2026-03-02T08:15:00.12Z"),
        (1_772_439_300_000_000_001, "2026-03-02T08:15:00.000000001Z"),
    ],
)
def test_timestamps(nanoseconds: int, text: str) -> None:
    assert timestamp(nanoseconds) == text


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_every_timestamp_is_rfc_3339(now: int) -> None:
    text = timestamp(now)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z", text)
    whole = datetime.fromisoformat(text[:19] + "+00:00")
    fraction = int(text[20:-1].ljust(9, "0")) if "." in text else 0
    assert int(whole.timestamp()) * 10**9 + fraction == now


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()))
def test_every_body_is_json(data: dict[str, object]) -> None:
    json.loads(Envelope("i", "t", "s", data).body())


def test_ids_are_unique() -> None:
    import os

    ids = {seal(token_deleted(HASH), 0, os.urandom).id for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("evt_[0-9a-f]{32}", each) for each in ids)


def test_the_time_is_signed_with_the_body() -> None:
    signature = sign_at("k", b"body", 1000)
    assert re.fullmatch("t=1000,v1=[0-9a-f]{64}", signature)
    assert verify_at("k", b"body", signature, 1300)
    assert verify_at("k", b"body", signature, 700)
    assert not verify_at("k", b"body", signature, 1301)
    assert not verify_at("k", b"body", signature, 699)
    assert not verify_at("k", b"Body", signature, 1000)
    assert not verify_at("K", b"body", signature, 1000)
    assert not verify_at("k", b"body", signature.replace("t=1000", "t=1001"), 1000)
    assert not verify_at("k", b"body", sign("k", b"body"), 1000)


@pytest.mark.parametrize(
    ("patterns", "type", "passes"),
    [
        ([], "rule.violation", True),
        (["*"], "rule.violation", True),
        (["token.*"], "token.created", True),
        (["token.*"], "token.deleted", True),
        (["token.*"], "rule.violation", False),
        (["token.*", "server.start"], "server.start", True),
        (["server.start"], "server.started", False),
        (["Token.*"], "token.created", False),
        (["*.created"], "token.created", False),
        (["*.created"], "*.created", True),
        (["tok*"], "token.created", True),
    ],
)
def test_filters(patterns: list[str], type: str, passes: bool) -> None:
    assert wants(patterns, type) is passes


@pytest.mark.parametrize("type", TYPES)
def test_every_type_has_its_message_for_people(type: str) -> None:
    assert type in _TITLES
    told = json.loads(slack_body(Envelope("evt_1", type, "2026-03-02T08:15:00Z", {})))
    assert set(told) == {"text", "blocks"}


def test_a_message_for_people_quotes_nobody() -> None:
    data = {
        "token_hash": HASH[:16],
        "token_prefix": HASH[:16],
        "token_hash_full": HASH,
        "model": "<!channel> & co",
        "rule_name": "no secrets",
        "message": "matched keyword rule: launch date",
        "error": "launch date",
    }
    told = slack_body(Envelope("evt_1", "rule.violation", "2026-03-02T08:15:00Z", data)).decode()
    assert "launch date" not in told
    assert HASH not in told
    assert "<!channel>" not in told
    assert "&lt;!channel&gt; &amp; co" in told
    assert "no secrets" in told
    assert json.loads(told)["text"].startswith(":no_entry: A rule blocked a request (Token: bba56f48ebdf2da3")


@pytest.mark.parametrize(
    ("url", "format", "text"),
    [
        ("https://user:pw@host.example:8443/in?token=x#y", "json", "https://host.example:8443/in"),
        ("https://hooks.slack.com/services/T0/B0/" + "x" * 24, "slack", "https://hooks.slack.com/…"),
        ("https://h/" + "x" * 25 + "/end", "json", "https://h/…/end"),
        ("http://[::1]:80/a", "json", "http://[::1]:80/a"),
        ("nonsense", "json", "(not a URL)"),
        ("http://h:port/", "json", "(not a URL)"),
    ],
)
def test_urls_are_shown_without_what_opens_doors(url: str, format: str, text: str) -> None:
    assert shown(url, format) == text


def test_receivers_keep_their_keys() -> None:
    a, b = Webhook(url="https://a/"), Webhook(url="https://b/")
    one = receivers([a, b, a])
    assert len({each.key for each in one}) == 3
    assert [each.number for each in one] == [1, 2, 3]
    changed = Webhook(url="https://a/", secret="new", events=["token.*"])
    assert receivers([b, changed])[1].key == one[0].key


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ({"url": "http://a.example/", "secret": "hush"}, "without TLS"),
        ({"url": "http://127.0.0.1:9/", "secret": "hush"}, ""),
        ({"url": "http://localhost:9/", "secret": "hush"}, ""),
        ({"url": "http://a.example/", "signing_key": "hush"}, ""),
        ({"url": "https://a.example/", "secret": "hush"}, ""),
        ({"url": "ftp://a.example/"}, "does not begin with http"),
        ({"url": "u"}, "does not begin with http"),
        ({"url": "http://"}, "names no host"),
    ],
)
def test_warnings(settings: dict[str, str], warns: str) -> None:
    (one,) = receivers([Webhook(**settings)])
    assert (warns in one.warning) if warns else one.warning == ""
    assert "hush" not in one.warning + repr(one)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "not an address",
    ],
)
def test_metadata_addresses_are_refused(address: str) -> None:
    assert forbidden(address, allow_link_local=False, deny_private=False)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("192.168.0.1", True),
        ("100.64.0.1", True),
        ("::1", True),
        ("fd12::1", True),
        ("0.0.0.0", True),
        ("::ffff:10.0.0.1", True),
        ("93.184.216.34", False),
        ("2606:4700::1111", False),
    ],
)
def test_private_addresses_are_refused_on_demand(address: str, private: bool) -> None:
    assert forbidden(address, allow_link_local=False, deny_private=False) == ""
    assert bool(forbidden(address, allow_link_local=True, deny_private=True)) is private


def test_link_local_can_be_allowed() -> None:
    assert forbidden("169.254.7.7", allow_link_local=True, deny_private=False) == ""


def test_events_hold_what_they_are_given() -> None:
    assert token_deleted(HASH) == Event(
        "token.deleted",
        {"token_hash": HASH[:8], "token_prefix": HASH[:16], "token_hash_full": HASH},
    )
