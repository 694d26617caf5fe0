"""Which writers a policy has, and where its entries go."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.memory.build import HASH, SHORT
from tokenomics_core.config import Config
from tokenomics_core.memory.places import (
    MEBIBYTE,
    NOBODY,
    Settings,
    Writers,
    below,
    place_of,
    writers_for,
)
from tokenomics_core.policy import parse
from tokenomics_core.policy.schema import Memory

HOME = Path("/home/ada")
FOLDER = Path("/data/memory")
DATE = "2026-04-05"


def memory_of(text):
    return parse('{"base_key_env":"K","memory":%s}' % text).memory  # noqa: UP031


SILENT = parse('{"base_key_env":"K"}').memory


def path_of(text):
    return place_of(memory_of(text), FOLDER, HOME).path(HASH, DATE)


@pytest.mark.parametrize(
    ("memory", "path"),
    [
        ('{"enabled":true}', f"/data/memory/{SHORT}.md"),
        ('{"enabled":true,"file_path":"~/notes","file_name":"{date}/{token_hash}.md"}',
         f"/home/ada/notes/{DATE}/{SHORT}.md"),
        ('{"enabled":true,"file_path":"~"}', "/home/ada"),
        ('{"enabled":true,"file_path":"/var/log/talk.md"}', "/var/log/talk.md"),
        ('{"enabled":true,"file_path":"/var/log/talks/"}', f"/var/log/talks/{SHORT}.md"),
        ('{"enabled":true,"file_path":"talk.md"}', "/data/memory/talk.md"),
        ('{"enabled":true,"file_name":"{session_id}-{date}.txt"}', f"/data/memory/{SHORT}-{DATE}.txt"),
        ('{"enabled":true,"file_name":"a/b/"}', f"/data/memory/a/b/{SHORT}.md"),
        ('{"enabled":true,"file_name":"{other}.md"}', "/data/memory/{other}.md"),
        ('{"enabled":true,"file_path":"~eve/x","file_name":"y"}', "/data/memory/~eve/x/y"),
    ],
)  # fmt: skip
def test_paths(memory, path):
    assert path_of(memory) == Path(path)


def test_a_folder_under_the_name_of_the_single_file_is_used_as_one(tmp_path):
    memory = Memory(enabled=True, file_path=str(tmp_path))
    assert place_of(memory, FOLDER, HOME).path(HASH, DATE) == tmp_path / f"{SHORT}.md"


HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../../b",
    "..",
    "../",
    "....//....//x",
    ".",
    "/",
    "//",
    "a\0b/../c",
    "..\\..\\x",
    "{token_hash}/../../{date}",
    " .. /x",
    "é" * 300 + "/x",
    "{{token_hash}}/..",
]


def is_inside(path):
    plain = os.path.normpath(path)
    return plain == str(path) and plain.startswith("/data/memory/") and "\0" not in plain


@pytest.mark.parametrize("pattern", HOSTILE)
@pytest.mark.parametrize("token", [HASH, "../../../../x", "/abs", "", "..", "a/b", "\0"])
def test_no_pattern_and_no_hash_leads_out_of_the_folder(pattern, token):
    assert is_inside(below(FOLDER, pattern, token, DATE))


@given(st.text(alphabet="./\\~{}ab\0 \n-", max_size=40), st.text(alphabet="./\\ab\0", max_size=20))
def test_nothing_leads_out_of_the_folder(pattern, token):
    path = below(FOLDER, pattern, token, DATE)
    assert is_inside(path)
    assert all(len(part.encode()) <= 255 for part in path.parts)


@pytest.mark.parametrize(
    ("memory", "limit", "compress"),
    [
        ('{"enabled":true,"file_name":"x"}', None, False),
        ('{"enabled":true,"file_name":"x","max_size_mb":3}', 3 * MEBIBYTE, False),
        ('{"enabled":true,"file_name":"x","max_size_mb":-1,"compress_old":true}', None, True),
        ('{"enabled":true,"file_name":"x","compress_old":true}', 100 * MEBIBYTE, True),
        ('{"enabled":true,"max_size_mb":2,"compress_old":true}', 2 * MEBIBYTE, True),
    ],
)
def test_limits(memory, limit, compress):
    place = place_of(memory_of(memory), FOLDER, HOME)
    assert (place.limit, place.compress) == (limit, compress)


def settings(**changes):
    return Settings(FOLDER, HOME, **changes)


@pytest.mark.parametrize(
    ("memory", "changes", "writers"),
    [
        # A token that says nothing is the ledger's affair.
        (SILENT, {}, Writers(markdown=True)),
        (SILENT, {"format": "jsonl"}, Writers(lines=True)),
        (SILENT, {"format": "both"}, Writers(markdown=True, lines=True)),
        (SILENT, {"ledger": False, "format": "both"}, NOBODY),
        (SILENT, {"ledger": False, "events": True}, Writers(events=True)),
        (memory_of("{}"), {}, Writers(markdown=True)),
        (memory_of('{"enabled":null}'), {}, Writers(markdown=True)),
        (memory_of('{"file_name":"x"}'), {}, Writers(markdown=True)),
        # A token that says no is nobody's.
        (memory_of('{"enabled":false}'), {"format": "both", "redis": True, "events": True}, NOBODY),
        (memory_of('{"enabled":false,"file_name":"x","redis":true}'), {"redis": True}, NOBODY),
    ],
)
def test_writers(memory, changes, writers):
    assert writers_for(memory, settings(**changes)) == writers


def test_a_token_that_says_yes_is_recorded_without_the_ledger():
    writers = writers_for(memory_of('{"enabled":true}'), settings(ledger=False, format="both"))
    assert (writers.markdown, writers.lines, writers.redis, writers.problem) == (False, False, False, "")
    assert writers.place is not None
    assert writers


def test_redis_takes_the_place_of_the_file_that_nobody_named():
    writers = writers_for(memory_of('{"enabled":true,"redis":true}'), settings(redis=True))
    assert writers.redis
    assert writers.place is None
    named = writers_for(memory_of('{"enabled":true,"redis":true,"file_name":"x"}'), settings(redis=True))
    assert named.redis
    assert named.place is not None


def test_redis_that_is_not_there_is_told_and_a_file_is_written():
    writers = writers_for(memory_of('{"enabled":true,"redis":true}'), settings())
    assert not writers.redis
    assert writers.place is not None
    assert "session.backend" in writers.problem


def test_settings_of_the_configuration(tmp_path):
    assert Settings.of(Config(dir=tmp_path), HOME) == Settings(
        tmp_path / "memory", HOME, True, "markdown", False
    )
    off = Config.model_validate({"dir": tmp_path, "ledger": {"enabled": False}})
    assert not Settings.of(off, HOME).ledger
    off = Config.model_validate({"dir": tmp_path, "ledger": {"memory": False}})
    assert not Settings.of(off, HOME).ledger
    redis = Config.model_validate({"dir": tmp_path, "session": {"backend": "redis"}})
    assert Settings.of(redis, HOME).redis
    told = Config.model_validate({"dir": tmp_path, "ledger": {"memory_format": "both", "event_ledger": True}})
    assert Settings.of(told, HOME).format == "both"
    assert Settings.of(told, HOME).events
    off = Config.model_validate({"dir": tmp_path, "ledger": {"enabled": False, "event_ledger": True}})
    assert not Settings.of(off, HOME).events
