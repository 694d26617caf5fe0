"""Services: what the addons share. Made once, in the composition root, and handed to each of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from addons.messages import start_messages
from tokenomics_core.certificates import Certificates, ensure_certificates
from tokenomics_core.config import Config, ConfigError, Logging, prepare_data_dir
from tokenomics_core.counters import Counters, Limit, Owners, open_counters
from tokenomics_core.events import Emitter, OutboxError
from tokenomics_core.exchange import Attempt, Exchange
from tokenomics_core.guard.rulebook import Rulebook
from tokenomics_core.guard.vault import Vaults
from tokenomics_core.ledger import Ledger, Row
from tokenomics_core.ledger.chain import Chain
from tokenomics_core.ledger.git_context import Git, surroundings
from tokenomics_core.ledger.recovery import recover
from tokenomics_core.ledger.session_events import events_path
from tokenomics_core.ledger.session_file import FOLDER, session_id
from tokenomics_core.ledger.signing import Signer
from tokenomics_core.memory import NOBODY, Communication, Recorder, Writers, writers_for
from tokenomics_core.memory import Settings as MemorySettings
from tokenomics_core.meter.all_time import AllTime
from tokenomics_core.meter.budget import Budget, Settings
from tokenomics_core.meter.limits import Limits
from tokenomics_core.meter.prices import Price, Prices, assumed
from tokenomics_core.meter.stats import Stats
from tokenomics_core.meter.tokenizer import Tokenizer
from tokenomics_core.metrics import Metrics
from tokenomics_core.policy import ResolvedPolicy
from tokenomics_core.policy.schema import Memory
from tokenomics_core.providers import Catalogue, load_catalogue
from tokenomics_core.request_log import DebugLog, LogFile, MessageHandler, RequestLog
from tokenomics_core.routing import Defaults
from tokenomics_core.telemetry import start_telemetry
from tokenomics_core.tokens import Keys, TokenStore, load_keys

if TYPE_CHECKING:
    from tokenomics_core.guard.shared_vault import SharedVaults
    from tokenomics_core.telemetry.export import Telemetry

log = logging.getLogger("tokenomics")

MOST_POLICIES = 4096
"""Resolved policies whose limits are kept ready."""


@dataclass
class Services:
    """instance: a random word that names this process; /health carries it.

    now: UTC wall clock. clock: monotonic seconds. jitter: a random number in [0, 1).
    upstreams: for each client connection, the addresses that a cleared exchange may connect to.
    """

    config: Config
    read_config: Callable[[], Config]
    """Reads it anew. Raises ConfigError, and so does `read_catalogue`."""

    read_catalogue: Callable[[Config], Catalogue]
    environ: Mapping[str, str]
    catalogue: Catalogue
    store: TokenStore
    ledger: Ledger
    stats: Stats
    request_log: RequestLog
    messages: MessageHandler
    tokenizer: Tokenizer
    certificates: Certificates
    now: Callable[[], datetime]
    clock: Callable[[], float]
    jitter: Callable[[], float]
    new_id: Callable[[], str]
    instance: str
    counters: Counters
    budget: Budget
    owners: Owners
    rulebook: Rulebook
    vaults: Vaults
    metrics: Metrics
    telemetry: Telemetry | None
    """OpenTelemetry, where somebody asked for it."""

    all_time: AllTime
    recorder: Recorder
    memory: MemorySettings
    git: Git
    directory: Path
    """Where a request is made that names no directory."""

    events: Emitter
    shared_vaults: SharedVaults | None = None
    """Placeholders of conversations, where several gateways share them."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the counters can be asked."""

    unwritten: set[str] = field(default_factory=set)
    """Settled exchanges that the journal still holds, because the ledger had not written their rows."""

    written: deque[str] = field(default_factory=deque)
    """Exchanges whose rows the ledger has written since the journal was last told."""

    placing: dict[str, asyncio.Task[Any]] = field(default_factory=dict)
    """Exchanges of which git was asked where they belong, by their ids."""

    limits: dict[int, tuple[ResolvedPolicy, Limits]] = field(default_factory=dict)
    """By the id of a resolved policy, which cannot be hashed; it is kept so that its id stays its own."""

    upstreams: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    proxy_authorization: dict[str, str] = field(default_factory=dict)
    in_flight: int = 0
    streams: dict[str, int] = field(default_factory=lambda: {"http": 0, "websocket": 0})
    """Answers that stream now, and open WebSockets."""
    in_flight_of: Counter[str] = field(default_factory=Counter)
    """By the hash of the token, where there are any."""

    ends_of: dict[str, asyncio.Event] = field(default_factory=dict)
    """By the hash of the token, what is set when none of its exchanges is under way any more."""

    stopping: bool = False
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, exchange: Exchange) -> None:
        """One more exchange is under way."""
        self.in_flight += 1
        self.idle.clear()
        if exchange.token is not None:
            self.in_flight_of[exchange.token.hash] += 1

    def end(self, exchange: Exchange) -> None:
        self.in_flight -= 1
        if exchange.token is not None:
            self.in_flight_of[exchange.token.hash] -= 1
            if not self.in_flight_of[exchange.token.hash]:
                del self.in_flight_of[exchange.token.hash]
                if event := self.ends_of.pop(exchange.token.hash, None):
                    event.set()
        if self.in_flight == 0:
            self.idle.set()

    async def ended(self, hash: str, seconds: float) -> bool:
        """Waits until no exchange of that token is under way; False when that took longer."""
        if self.in_flight_of[hash]:
            event = self.ends_of.setdefault(hash, asyncio.Event())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        return not self.in_flight_of[hash]

    def warm_up(self) -> None:
        """Loads what takes a while, in threads: the tables of the tokenizer, and the prices."""
        self.tokenizer.start()
        threading.Thread(target=self.budget.prices.load, name="prices", daemon=True).start()

    def reload(self) -> None:
        """Reads the configuration anew, and takes over what may change while exchanges are under way.

        Raises ConfigError for a broken file or a log file that cannot be opened; then nothing was taken over.
        """
        config = self.read_config()
        catalogue = self.read_catalogue(config)
        before, after = self.config.logging, config.logging
        moved = (after.file, after.proxy_log_file) != (before.file, before.proxy_log_file)
        try:
            place = _log_place(after) if moved else None
        except OSError as error:
            raise ConfigError(f"logging.file.path: {after.file.path}: {error.strerror}") from None
        self.catalogue = catalogue
        self.config = self.config.model_copy(
            update={
                "default_provider": config.default_provider,
                "providers": config.providers,
                "server": self.config.server.model_copy(update={"upstream_url": config.server.upstream_url}),
                "logging": config.logging,
                "errors": config.errors,
            }
        )
        self.request_log.apply(after, place=place, debug=_debug_log(after) if moved else None)
        self.messages.apply(after)

    async def forget_written(self) -> None:
        """Tells the journal what the ledger has."""
        ids = []
        while self.written:
            id = self.written.popleft()
            if id in self.unwritten:
                self.unwritten.discard(id)
                ids.append(id)
        if ids:
            await self.counters.written(ids)

    async def recover(self) -> None:
        """Writes down and settles what processes left that are gone."""

        def price_of(row: Row, assume: bool) -> Price | None:
            price = self.budget.prices.price(row.provider, row.model, row.started_at)
            return price or (self.budget.settings.assumed if assume else None)

        await recover(self.counters, self.ledger, self.owners.alive, price_of, self.budget.milliseconds())

    def limits_of(
        self, exchange: Exchange, attempt: Attempt, policy: ResolvedPolicy | None = None
    ) -> tuple[Limit, ...]:
        """The limits that a request to that attempt's provider counts against."""
        return self.limits_under(policy or attempt.policy).at(
            provider=attempt.provider_name or (attempt.provider.name if attempt.provider else ""),
            session=exchange.session,
            now=self.now(),
            session_budget=self.config.session.default_budget_usd,
        )

    def limits_under(self, policy: ResolvedPolicy) -> Limits:
        kept, limits = self.limits.get(id(policy), (None, None))
        if kept is not policy or limits is None:
            if len(self.limits) >= MOST_POLICIES:
                self.limits.clear()
            limits = Limits(policy)
            self.limits[id(policy)] = policy, limits
        return limits

    def writers(self, exchange: Exchange) -> Writers:
        """Who writes the exchange's conversation down."""
        if exchange.attempt is not None:
            return self.writers_of(exchange.attempt.policy.memory)
        return self.writers_of(exchange.policy.policy.memory) if exchange.policy is not None else NOBODY

    def writers_of(self, memory: Memory) -> Writers:
        return writers_for(memory, self.memory)

    def communication(self, exchange: Exchange) -> Communication | None:
        """Who tells the exchange's events; None where nobody does."""
        writers = self.writers(exchange)
        if not writers.events or exchange.token is None:
            return None
        recorder = self.recorder
        return Communication(
            exchange, self.now, lambda event: recorder.event(event, writers), recorder.missed
        )

    @property
    def defaults(self) -> Defaults:
        return Defaults(self.config.default_provider, self.config.server.upstream_url)


def start_services(
    config: Config, environ: Mapping[str, str], cwd: Path, home: Path, read_config: Callable[[], Config]
) -> Services:
    """Opens everything the pipeline needs. Raises an error of one line when something is missing.

    read_config: as `config` was read, for SIGHUP.
    """
    messages = start_messages(config.logging)
    prepare_data_dir(config, with_config=True)
    now = lambda: datetime.now(UTC)  # noqa: E731
    tokenizer = Tokenizer()
    instance = secrets.token_hex(8)
    written: deque[str] = deque()
    counters = open_counters(config, instance)
    owners = Owners(config.dir / "run")
    keys = load_keys(config, environ, os.urandom)
    signer = Signer(config.dir / "keys", os.urandom)
    signer.check()
    memory = MemorySettings.of(config, home)
    try:
        events = Emitter(config.events.webhooks, config.dir)
    except OutboxError as error:
        raise ConfigError(str(error)) from None
    try:
        owners.claim(instance)
    except OSError as error:
        raise ConfigError(
            f"{owners.directory} cannot be written: {error.strerror}; check its owner, mode and disk"
        ) from None
    request_log = RequestLog(config.logging, _log_place(config.logging), debug=_debug_log(config.logging))
    messages.into(request_log)
    read_catalogue = lambda config: load_catalogue(config, cwd, home, environ)  # noqa: E731
    return Services(
        config=config,
        read_config=read_config,
        read_catalogue=read_catalogue,
        environ=environ,
        catalogue=read_catalogue(config),
        store=TokenStore(config.storage.db_path, keys),
        ledger=Ledger(
            config.dir / "ledger.db",
            # The event loop goes first.
            chain=Chain(instance, signer, now, pause=lambda: time.sleep(0.0005)),
            on_written=lambda rows: written.extend(row.id for row in rows),
        ),
        stats=Stats(),
        request_log=request_log,
        messages=messages,
        tokenizer=tokenizer,
        certificates=ensure_certificates(config.server.tls.cert_dir, config.server.tls.hosts, now()),
        now=now,
        clock=time.monotonic,
        jitter=random.random,
        new_id=lambda: "req_" + secrets.token_hex(16),
        instance=instance,
        counters=counters,
        budget=_budget(config, counters, tokenizer, now),
        owners=owners,
        rulebook=Rulebook(),
        vaults=Vaults(time.monotonic),
        metrics=Metrics(models=config.metrics.models),
        telemetry=start_telemetry(environ, enabled=config.telemetry.enabled),
        all_time=AllTime(config.dir / "ledger.db"),
        recorder=Recorder(
            memory.folder,
            session_id(instance),
            events_path(config.dir / FOLDER, session_id(instance)) if memory.events else None,
            redis=config.session.redis if memory.redis else None,
        ),
        memory=memory,
        git=Git(time.monotonic),
        directory=surroundings(config.dir, cwd),
        events=events,
        shared_vaults=_shared_vaults(config, keys),
        written=written,
    )


def _budget(config: Config, counters: Counters, tokenizer: Tokenizer, now: Callable[[], datetime]) -> Budget:
    prices = Prices(config.pricing, config.pricing_table)
    budgets = config.budgets
    return Budget(
        counters,
        prices,
        tokenizer,
        Settings(
            wait=budgets.wait,
            slice=budgets.slice,
            lease=budgets.lease,
            assumed=assumed(budgets.assumed_input, budgets.assumed_output),
        ),
        now=now,
        clock=time.monotonic,
        jitter=random.random,
    )


def _shared_vaults(config: Config, keys: Keys) -> SharedVaults | None:
    if config.session.backend != "redis":
        return None
    # Only who asks for Redis pays for its client.
    from tokenomics_core.guard.shared_vault import SharedVaults

    return SharedVaults(config.session.redis, keys.encryption_secret)


def _log_place(settings: Logging) -> TextIO | LogFile:
    """Where request lines go: the log file when there is one, else standard output."""
    file = settings.file
    if not file.enabled:
        return sys.stdout
    return LogFile(file.path, max_bytes=int(file.max_mb * 2**20), keep=file.keep)


def _debug_log(settings: Logging) -> DebugLog:
    file = settings.file
    return DebugLog(settings.proxy_log_file, max_bytes=int(file.max_mb * 2**20), keep=file.keep)


async def in_thread[T](work: Callable[[], T]) -> T:
    """Runs what would hold up the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, work)
