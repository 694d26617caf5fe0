"""The placeholders of conversations that several gateways hold together, in Redis.

Redis keeps one hash per conversation, under the hash tag of its token, as the counters do:

    #EMAIL      the last number that was given to that kind
    <field>     of one value: its placeholder without brackets, and behind a space the value, sealed

A field is an HMAC over token, session, kind and value, so the same value has the same placeholder whoever saw
it first. A value is sealed with AES-256-GCM and bound to token, session, field and placeholder: what is moved
in Redis cannot be opened. Whoever reads Redis learns how many values of which kind and length there are.

Of each conversation an exchange has a vault of its own, which ends with it: nothing is kept between them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from redis.exceptions import NoScriptError

from tokenomics_core.config.schema import Redis as Settings
from tokenomics_core.counters import CountersUnavailable
from tokenomics_core.counters.redis_client import RedisClient
from tokenomics_core.guard.vault import HIGHEST, IDLE, MOST_VALUES, Vault, VaultFull, cost, written_kind

log = logging.getLogger("tokenomics")

_VERSION = b"\x01"
_NONCE = 12

_BLOCKING = 50
"""So many values are named, opened or sealed on the loop; more, in a thread."""

_SCRIPT = """
-- ARGV: load, agree or save, and JSON about it. KEYS: the hash of the conversation.
local key = KEYS[1]
local verb, about = ARGV[1], cjson.decode(ARGV[2])
local answer = {}

local function name_of(entry)
  return entry and string.match(entry, '^[^ ]+')
end

if verb == 'load' then
  answer = redis.call('HGETALL', key)

elseif verb == 'agree' then
  -- wanted: {field, kind}. An empty string in the answer: there is no number left.
  local avoided = {}
  for _, name in ipairs(about.avoided) do avoided[name] = true end
  local room = about.most - redis.call('HLEN', key)
  for i, wanted in ipairs(about.wanted) do
    local field, kind = wanted[1], wanted[2]
    local entry = redis.call('HGET', key, field)
    local name = name_of(entry)
    if not name or avoided[name] then
      name = ''
      if entry or room > 0 then
        local number
        repeat
          number = redis.call('HINCRBY', key, '#' .. kind, 1)
        until not avoided[kind .. '_' .. number]
        if number <= about.highest then
          name = kind .. '_' .. number
          redis.call('HSET', key, field, name)
          if not entry then room = room - 1 end
        end
      end
    end
    answer[i] = name
  end

elseif verb == 'save' then
  -- entries: {field, name, sealed}. Where another name was agreed meanwhile, its own value follows.
  for _, entry in ipairs(about.entries) do
    if name_of(redis.call('HGET', key, entry[1])) == entry[2] then
      redis.call('HSET', key, entry[1], entry[2] .. ' ' .. entry[3])
    end
  end
end

redis.call('EXPIRE', key, about.ttl)
return answer
"""


class SharedVault(Vault):
    """One conversation, as one exchange sees it. `placeholder` knows what `SharedVaults.prepare` agreed on.

    For any other value it raises VaultFull.
    """

    def __init__(self, token_hash: str, session: str) -> None:
        super().__init__()
        self.token_hash = token_hash
        self.session = session
        # By field: placeholder without brackets, and value.
        self.unsaved: dict[str, tuple[str, str]] = {}

    def learn(self, name: str, kind: str, value: str) -> bool:
        """Takes what was agreed elsewhere; False when it cannot be so, or there is no room."""
        with self._lock:
            if self._names.get((kind, value)) == name:
                return True
            if name in self._avoided or name in self._originals or not self.room_for(value):
                return False
            self._keep(name, kind, value)
            return True

    def missing(self, wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Which of these have no placeholder yet and may get one; kinds as placeholders write them."""
        with self._lock:
            if self._closed:
                return []
            found: dict[tuple[str, str], None] = {}
            taken = 0
            for kind, value in wanted:
                each = (written_kind(kind), value)
                if each not in self._names and each not in found and self.room_for(value, taken, len(found)):
                    found[each] = None
                    taken += cost(value)
            return list(found)

    def avoided(self) -> list[str]:
        with self._lock:
            return list(self._avoided)

    def _next_name(self, kind: str) -> str:
        raise VaultFull


class SharedVaults:
    """settings: the Redis of the counters. secret: the encryption secret, the same for all its gateways.

    In this order, for each request: `load`, `Vault.avoid`, `prepare`, `Vault.placeholder`, `save`; then the
    request may leave. Each raises CountersUnavailable when Redis does not answer.
    """

    def __init__(
        self, settings: Settings, secret: bytes, randomness: Callable[[int], bytes] = os.urandom
    ) -> None:
        keys = HKDF(algorithm=SHA256(), length=64, salt=None, info=b"placeholders").derive(secret)
        self._aead = AESGCM(keys[:32])
        self._hmac_key = keys[32:]
        self._randomness = randomness
        self._store = _Store(settings)

    async def close(self) -> None:
        await self._store.close()

    async def load(self, token_hash: str, session: str) -> Vault:
        """What is agreed in this conversation. Without a session (``""``) a vault that is not shared."""
        if not session:
            return Vault()
        vault = SharedVault(token_hash, session)
        flat = await self._store.ask(token_hash, self._key(vault), "load", {})
        entries = dict(zip(flat[::2], flat[1::2], strict=True))
        await _off_the_loop(len(entries), lambda: self._learn_all(vault, entries))
        return vault

    async def prepare(self, vault: Vault, wanted: Sequence[tuple[str, str]]) -> None:
        """Agrees on the placeholders of these kinds and values, all that the request will ask for.

        Those for which there is no room get none.
        """
        if not isinstance(vault, SharedVault) or not (missing := vault.missing(wanted)):
            return
        fields: dict[str, tuple[str, str]] = {}
        await _off_the_loop(
            len(missing), lambda: fields.update((self._field(vault, *each), each) for each in missing)
        )
        about = {
            "wanted": [(field, kind) for field, (kind, _) in fields.items()],
            "avoided": vault.avoided(),
            "most": MOST_VALUES,
            "highest": HIGHEST,
        }
        names = await self._store.ask(vault.token_hash, self._key(vault), "agree", about)
        for (field, (kind, value)), name in zip(fields.items(), names, strict=True):
            if not name:
                continue
            if vault.original(f"<{name}>") is not None:
                # It was emptied since `load`, and gives its numbers a second time.
                raise CountersUnavailable(
                    f"redis at {self._store.address} has lost the placeholders of a conversation; try again"
                )
            if vault.learn(name, kind, value):
                vault.unsaved[field] = (name, value)

    async def save(self, vault: Vault) -> None:
        """Gives the other gateways what `prepare` added. Nothing to do: Redis is not asked."""
        if not isinstance(vault, SharedVault) or not vault.unsaved:
            return
        unsaved = dict(vault.unsaved)
        entries: list[tuple[str, str, str]] = []

        def seal_all() -> None:
            entries.extend(
                (field, name, self._seal(vault, field, name, value))
                for field, (name, value) in unsaved.items()
            )

        await _off_the_loop(len(unsaved), seal_all)
        await self._store.ask(vault.token_hash, self._key(vault), "save", {"entries": entries})
        for field in unsaved:
            vault.unsaved.pop(field, None)

    def _learn_all(self, vault: SharedVault, entries: Mapping[str, str]) -> None:
        unreadable = 0
        for field, entry in entries.items():
            name, _, sealed = entry.partition(" ")
            # A number without a value: who agreed on it has not saved it yet.
            if field.startswith("#") or not sealed:
                continue
            value = self._open(vault, field, name, sealed)
            if value is None:
                unreadable += 1
            else:
                vault.learn(name, name.rpartition("_")[0], value)
        if unreadable:
            log.warning(
                "%d placeholders in redis cannot be opened and are not restored: they were made with another"
                " encryption secret, or were altered",
                unreadable,
            )

    def _seal(self, vault: SharedVault, field: str, name: str, value: str) -> str:
        nonce = self._randomness(_NONCE)
        plain = value.encode(errors="surrogatepass")
        sealed = self._aead.encrypt(nonce, plain, _VERSION + _framed(*_whose(vault), field, name))
        return base64.b64encode(_VERSION + nonce + sealed).decode()

    def _open(self, vault: SharedVault, field: str, name: str, sealed: str) -> str | None:
        try:
            raw = base64.b64decode(sealed, validate=True)
            nonce, ciphertext = raw[1 : 1 + _NONCE], raw[1 + _NONCE :]
            bound = raw[:1] + _framed(*_whose(vault), field, name)
            return self._aead.decrypt(nonce, ciphertext, bound).decode(errors="surrogatepass")
        except (ValueError, InvalidTag):
            return None

    def _field(self, vault: SharedVault, kind: str, value: str) -> str:
        return self._digest(*_whose(vault), kind, value)

    def _key(self, vault: SharedVault) -> str:
        # Of a session's name nothing is seen: it may hold what a key's pattern means something by.
        return f"tokenomics:{{{vault.token_hash}}}:placeholders:{self._digest(*_whose(vault))}"

    def _digest(self, *parts: str) -> str:
        digest = hmac.digest(self._hmac_key, _framed(*parts), "sha256")
        return base64.urlsafe_b64encode(digest[:18]).decode()


class _Store(RedisClient):
    """The Redis of the counters, with the script of the placeholders."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._script = _SCRIPT
        self._sha = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

    async def ask(self, token_hash: str, key: str, verb: str, about: Mapping[str, Any]) -> list[str]:
        arguments = (1, key, verb, orjson.dumps({**about, "ttl": IDLE}))

        async def call(redis: Any) -> list[str]:
            try:
                answer: list[str] = await redis.execute_command("EVALSHA", self._sha, *arguments)
            except NoScriptError:
                answer = await redis.execute_command("EVAL", self._script, *arguments)
            return answer

        return await self._within(call)


async def _off_the_loop(count: int, work: Callable[[], None]) -> None:
    if count > _BLOCKING:
        await asyncio.to_thread(work)
    else:
        work()


def _whose(vault: SharedVault) -> tuple[str, str]:
    return vault.token_hash, vault.session


def _framed(*parts: str) -> bytes:
    """Each part behind its length: no two lists of parts are the same bytes."""
    raw = [part.encode(errors="surrogatepass") for part in parts]
    return b"".join(len(part).to_bytes(4) + part for part in raw)
