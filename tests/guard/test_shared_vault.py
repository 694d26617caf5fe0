"""Several gateways, one Redis: the same values have the same placeholders, and Redis cannot read them."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from tests.counters.redis_servers import RedisNodes, RedisServer, redis_cluster, redis_server
from tests.support.ports import free_ports
from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.counters import CountersUnavailable
from tokenomics_core.guard import shared_vault as shared_module
from tokenomics_core.guard import vault as vault_module
from tokenomics_core.guard.shared_vault import SharedVault, SharedVaults
from tokenomics_core.guard.vault import IDLE, Vault, VaultFull, restored

SECRET = b"0123456789abcdef" * 2
TOKEN = "ab" * 32
OTHER_TOKEN = "cd" * 32


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisNodes]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture
async def gateways(server: RedisServer) -> AsyncIterator[tuple[SharedVaults, SharedVaults]]:
    with server.client() as client:
        client.flushall()
    both = SharedVaults(server.settings(), SECRET), SharedVaults(server.settings(), SECRET)
    yield both
    for each in both:
        await each.close()


async def turn(
    gateway: SharedVaults,
    *wanted: tuple[str, str],
    own: str = "",
    token: str = TOKEN,
    session: str = "s",
) -> tuple[Vault, list[str]]:
    """All that a request asks of the placeholders."""
    vault = await gateway.load(token, session)
    vault.avoid(own)
    await gateway.prepare(vault, wanted)
    placeholders = [vault.placeholder(kind, value) for kind, value in wanted]
    await gateway.save(vault)
    return vault, placeholders


def dump(server: RedisServer) -> dict[str, dict[str, str]]:
    with server.client() as client:
        return {key: client.hgetall(key) for key in client.scan_iter()}


async def test_what_one_gateway_gave_out_the_other_restores(
    gateways: tuple[SharedVaults, SharedVaults],
) -> None:
    one, other = gateways
    value = 'a"b\\\n\U0001f600é\ud800'
    _, given_out = await turn(one, ("email", "a@x.com"), ("key", value), ("email", "a@x.com"))
    assert given_out == ["<EMAIL_1>", "<KEY_1>", "<EMAIL_1>"]
    vault, given_out = await turn(other, ("email", "b@x.com"), ("Email", "a@x.com"))
    assert given_out == ["<EMAIL_2>", "<EMAIL_1>"]
    assert restored("<EMAIL_1> <EMAIL_2> <KEY_1> <KEY_2>", vault) == f"a@x.com b@x.com {value} <KEY_2>"
    assert len(await one.load(TOKEN, "s")) == 3


async def test_on_a_cluster(nodes: RedisNodes) -> None:
    nodes.flush()
    gateway = SharedVaults(nodes.settings(), SECRET)
    for number in range(8):
        token = f"{number:064x}"
        await turn(gateway, ("email", token), token=token)
        vault, given_out = await turn(gateway, ("email", "b"), token=token)
        assert given_out == ["<EMAIL_2>"]
        assert restored("<EMAIL_1>", vault) == token
        # Where the token's counters are.
        with nodes.node_of(token).client() as client:
            assert len(list(client.scan_iter(match=f"tokenomics:{{{token}}}:placeholders:*"))) == 1
    await gateway.close()


async def test_all_at_once_give_different_placeholders_to_different_values(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()
    gateways = [SharedVaults(server.settings(), SECRET) for _ in range(4)]
    wanted = [[("email", f"v{(number + shift) % 40}") for number in range(30)] for shift in (0, 7, 20, 33)]
    turns = await asyncio.gather(
        *(turn(gateway, *some) for gateway, some in zip(gateways, wanted, strict=True) for _ in range(5))
    )
    names: dict[str, set[str]] = {}
    asked = [some for some in wanted for _ in range(5)]
    for (vault, given_out), some in zip(turns, asked, strict=True):
        for (_, value), placeholder in zip(some, given_out, strict=True):
            names.setdefault(value, set()).add(placeholder)
            assert vault.original(placeholder) == value
    assert all(len(each) == 1 for each in names.values())
    assert {each for some in names.values() for each in some} == {f"<EMAIL_{n}>" for n in range(1, 41)}
    last = await gateways[0].load(TOKEN, "s")
    assert len(last) == 40
    for gateway in gateways:
        await gateway.close()


async def test_conversations_do_not_mix(gateways: tuple[SharedVaults, SharedVaults]) -> None:
    one, other = gateways
    for token, session in ((TOKEN, "a"), (TOKEN, "b"), (OTHER_TOKEN, "a"), (TOKEN, "x}:counters{")):
        vault, given_out = await turn(one, ("email", token + session), token=token, session=session)
        assert given_out == ["<EMAIL_1>"]
        assert restored("<EMAIL_1>", await other.load(token, session)) == token + session
        assert len(vault) == 1


async def test_redis_knows_no_value_and_no_session(
    gateways: tuple[SharedVaults, SharedVaults], server: RedisServer
) -> None:
    await turn(gateways[0], ("email", "hunter2"), ("key", "hunter2"), session="my-project")
    await turn(gateways[0], ("email", "hunter2"), session="another")
    kept = dump(server)
    assert len(kept) == 2
    for key, entries in kept.items():
        assert re.fullmatch(f"tokenomics:{{{TOKEN}}}:placeholders:[\\w-]{{24}}", key)
        for field, entry in entries.items():
            assert re.fullmatch(r"#[A-Z]+|[\w-]{24}", field)
            _, _, sealed = entry.partition(" ")
            assert b"hunter2" not in base64.b64decode(sealed)
    assert "hunter2" not in str(kept)
    assert "my-project" not in str(kept)
    # The same value cannot be recognised in another conversation, or under another kind.
    fields = [field for entries in kept.values() for field in entries if not field.startswith("#")]
    assert len(set(fields)) == len(fields) == 3


async def test_it_is_kept_for_a_day_after_the_last_request(
    gateways: tuple[SharedVaults, SharedVaults], server: RedisServer
) -> None:
    await gateways[0].load(TOKEN, "s")
    assert dump(server) == {}
    await turn(gateways[0], ("email", "a"))
    with server.client() as client:
        (key,) = client.scan_iter()
        assert IDLE - 5 <= client.ttl(key) <= IDLE == 24 * 3600
        client.expire(key, 100)
        await gateways[1].load(TOKEN, "s")
        assert client.ttl(key) > 100


async def test_an_altered_or_foreign_entry_is_not_restored(
    gateways: tuple[SharedVaults, SharedVaults], server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = gateways
    await turn(one, ("email", "hunter2"), ("email", "hunter3"), ("key", "hunter4"))
    ((key, entries),) = dump(server).items()
    field = {entry.split(" ")[0]: name for name, entry in entries.items() if " " in entry}
    sealed = {name: entries[field[name]].split(" ")[1] for name in field}
    changed = {
        field["EMAIL_1"]: f"EMAIL_1 {sealed['EMAIL_2']}",
        field["EMAIL_2"]: f"EMAIL_9 {sealed['EMAIL_2']}",
        field["KEY_1"]: "KEY_1 not-base64",
        "x" * 24: f"EMAIL_1 {sealed['EMAIL_1']}",
    }
    with server.client() as client:
        client.hset(key, mapping=changed)
        vault = await other.load(TOKEN, "s")
        assert not vault.known
        # Another conversation of the same token, with the same bytes.
        client.flushall()
        await turn(one, ("email", "z"), session="else")
        (elsewhere,) = client.scan_iter()
        client.hset(elsewhere, mapping=entries)
        vault = await other.load(TOKEN, "else")
        assert restored("<EMAIL_1> <EMAIL_2> <KEY_1>", vault) == "z <EMAIL_2> <KEY_1>"
    assert "4 placeholders in redis cannot be opened" in caplog.text
    assert "hunter" not in caplog.text


async def test_another_secret_opens_nothing_and_gives_other_numbers(
    gateways: tuple[SharedVaults, SharedVaults], server: RedisServer
) -> None:
    stranger = SharedVaults(server.settings(), b"f" * 32)
    await turn(gateways[0], ("email", "a"))
    vault, given_out = await turn(stranger, ("email", "a"))
    assert given_out == ["<EMAIL_1>"]
    assert len(dump(server)) == 2
    assert len(vault) == 1
    await stranger.close()


async def test_a_number_whose_value_was_never_saved_is_taken_up(
    gateways: tuple[SharedVaults, SharedVaults],
) -> None:
    one, other = gateways
    vault = await one.load(TOKEN, "s")
    await one.prepare(vault, [("email", "a")])
    later, given_out = await turn(other, ("email", "b"), ("email", "a"))
    assert given_out == ["<EMAIL_2>", "<EMAIL_1>"]
    await one.save(vault)
    assert restored("<EMAIL_1><EMAIL_2>", await one.load(TOKEN, "s")) == "ab"
    assert later.known


async def test_the_clients_own_words_are_not_given_out_and_no_longer_restored(
    gateways: tuple[SharedVaults, SharedVaults],
) -> None:
    one, other = gateways
    _, given_out = await turn(one, ("email", "a"), own="<EMAIL_1> <EMAIL_3>")
    assert given_out == ["<EMAIL_2>"]
    vault, given_out = await turn(other, ("email", "b"), ("email", "a"), own="<EMAIL_2>")
    assert given_out == ["<EMAIL_3>", "<EMAIL_4>"]
    assert restored("<EMAIL_2> <EMAIL_4>", vault) == "<EMAIL_2> a"
    # All agree from now on.
    vault, given_out = await turn(one, ("email", "a"))
    assert given_out == ["<EMAIL_4>"]
    assert restored("<EMAIL_2>", vault) == "<EMAIL_2>"


async def test_a_name_that_changed_before_it_was_saved_stays_changed(
    gateways: tuple[SharedVaults, SharedVaults],
) -> None:
    one, other = gateways
    vault = await one.load(TOKEN, "s")
    await one.prepare(vault, [("email", "a")])
    assert vault.placeholder("email", "a") == "<EMAIL_1>"
    _, given_out = await turn(other, ("email", "a"), own="<EMAIL_1>")
    assert given_out == ["<EMAIL_2>"]
    await one.save(vault)
    assert restored("<EMAIL_1>", vault) == "a"
    assert restored("<EMAIL_1> <EMAIL_2>", await one.load(TOKEN, "s")) == "<EMAIL_1> a"


async def test_what_was_not_prepared_has_no_placeholder(gateways: tuple[SharedVaults, SharedVaults]) -> None:
    vault = await gateways[0].load(TOKEN, "s")
    with pytest.raises(VaultFull):
        vault.placeholder("email", "a")


def test_a_name_is_learnt_for_one_value_only() -> None:
    vault = SharedVault(TOKEN, "s")
    vault.avoid("<EMAIL_2>")
    assert vault.learn("EMAIL_1", "EMAIL", "a")
    assert vault.learn("EMAIL_1", "EMAIL", "a")
    assert not vault.learn("EMAIL_1", "EMAIL", "b")
    assert not vault.learn("EMAIL_2", "EMAIL", "b")
    assert restored("<EMAIL_1> <EMAIL_2>", vault) == "a <EMAIL_2>"


async def test_without_a_session_nothing_is_shared(
    gateways: tuple[SharedVaults, SharedVaults], server: RedisServer
) -> None:
    vault, given_out = await turn(gateways[0], ("email", "a"), session="")
    assert given_out == ["<EMAIL_1>"]
    assert restored("<EMAIL_1>", vault) == "a"
    assert dump(server) == {}


async def test_what_is_known_is_not_asked_again(gateways: tuple[SharedVaults, SharedVaults]) -> None:
    one, _ = gateways
    await turn(one, ("email", "a"))
    asked: list[str] = []
    ask = one._store.ask

    async def counted(token: str, key: str, verb: str, about: dict[str, object]) -> Sequence[str]:
        asked.append(verb)
        return await ask(token, key, verb, about)

    one._store.ask = counted  # type: ignore[assignment, method-assign]
    await turn(one, ("email", "a"))
    assert asked == ["load"]


@pytest.mark.parametrize(("most", "kept"), [(5, 3), (100, 10)])
async def test_a_conversation_is_bounded_in_values(
    gateways: tuple[SharedVaults, SharedVaults],
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    kept: int,
) -> None:
    monkeypatch.setattr(shared_module, "MOST_VALUES", most)
    one, other = gateways
    wanted = [(kind, f"{kind}{number}") for number in range(5) for kind in ("email", "key")]
    vault = await one.load(TOKEN, "s")
    await one.prepare(vault, wanted[:2])
    await one.save(vault)
    # The counters of two kinds take two of the places.
    vault = await other.load(TOKEN, "s")
    await other.prepare(vault, wanted)
    assert len(vault) == kept
    if kept == 3:
        with pytest.raises(VaultFull):
            vault.placeholder("key", "key1")
    (entries,) = dump(server).values()
    assert len(entries) <= most


@pytest.mark.parametrize(("name", "bound"), [("MOST_VALUES", 2), ("MOST_BYTES", 2500)])
async def test_no_vault_asks_for_more_than_it_can_hold(
    gateways: tuple[SharedVaults, SharedVaults],
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    bound: int,
) -> None:
    monkeypatch.setattr(vault_module, name, bound)
    vault = await gateways[0].load(TOKEN, "s")
    await gateways[0].prepare(vault, [("email", f"value {number:>200}") for number in range(9)])
    await gateways[0].save(vault)
    assert len(vault) == 2
    (entries,) = dump(server).values()
    assert entries["#EMAIL"] == "2"


async def test_numbers_end(
    gateways: tuple[SharedVaults, SharedVaults], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_module, "HIGHEST", 1)
    vault = await gateways[0].load(TOKEN, "s")
    await gateways[0].prepare(vault, [("email", "a"), ("email", "b"), ("key", "c")])
    assert [vault.placeholder("email", "a"), vault.placeholder("key", "c")] == ["<EMAIL_1>", "<KEY_1>"]
    with pytest.raises(VaultFull):
        vault.placeholder("email", "b")


async def test_many_values(gateways: tuple[SharedVaults, SharedVaults]) -> None:
    wanted = [("email", f"v{number}") for number in range(2_000)]
    await turn(gateways[0], *wanted)
    vault = await gateways[1].load(TOKEN, "s")
    assert all(vault.original(f"<EMAIL_{number + 1}>") == f"v{number}" for number in range(2_000))


async def test_a_redis_that_was_emptied_meanwhile_mixes_no_values(
    gateways: tuple[SharedVaults, SharedVaults], server: RedisServer
) -> None:
    one, other = gateways
    await turn(one, ("email", "a"))
    vault = await one.load(TOKEN, "s")
    with server.client() as client:
        client.flushall()
        client.script_flush()
    with pytest.raises(CountersUnavailable, match="lost the placeholders") as caught:
        await one.prepare(vault, [("email", "hunter2")])
    assert "hunter2" not in str(caught.value)
    assert restored("<EMAIL_1>", vault) == "a"
    _, given_out = await turn(other, ("email", "hunter2"))
    assert given_out == ["<EMAIL_1>"]


async def test_what_is_saved_into_an_emptied_redis_is_dropped(
    gateways: tuple[SharedVaults, SharedVaults], server: RedisServer
) -> None:
    vault = await gateways[0].load(TOKEN, "s")
    await gateways[0].prepare(vault, [("email", "a")])
    with server.client() as client:
        client.flushall()
    await gateways[0].save(vault)
    assert dump(server) == {}


async def test_a_redis_that_does_not_answer_is_told(
    gateways: tuple[SharedVaults, SharedVaults], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="tokenomics")
    nowhere = Settings(addr=f"127.0.0.1:{free_ports(1)[0]}", password="hunter2-hunter2")
    gone = SharedVaults(nowhere, SECRET)
    with pytest.raises(CountersUnavailable) as loading:
        await gone.load(TOKEN, "s")
    vault = await gateways[0].load(TOKEN, "s")
    with pytest.raises(CountersUnavailable) as preparing:
        await gone.prepare(vault, [("email", "a-value")])
    await gateways[0].prepare(vault, [("email", "a-value")])
    with pytest.raises(CountersUnavailable) as saving:
        await gone.save(vault)
    # Nothing is lost: it can be saved when Redis answers.
    await gateways[0].save(vault)
    assert len(await gateways[1].load(TOKEN, "s")) == 1
    for caught in (loading, preparing, saving):
        assert nowhere.addr in str(caught.value)
        assert "hunter2" not in str(caught.value)
        assert "a-value" not in str(caught.value)
    assert "a-value" not in caplog.text
    await gone.close()


async def test_no_value_is_shown(gateways: tuple[SharedVaults, SharedVaults]) -> None:
    vault, _ = await turn(gateways[0], ("email", "hunter2"))
    assert repr(vault) == "SharedVault(1 values)"
    assert "hunter2" not in repr(gateways[0])
