"""The configuration tree: every key, its type and its default.

Nothing here reads a file or the environment. `Config(dir=...)` is a complete configuration with defaults,
and `load_config` fills one from all sources. Adding a key means adding a field: its environment variable,
the check of its type and the warning about a misspelling follow from it.

A field with ``repr=False`` is a secret: its value is never shown, not in a repr and not in an error.
"""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from tokenomics_core.config.base_url import InvalidBaseUrl, parse_base_url


def _split(value: Any) -> Any:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _level(value: Any) -> Any:
    value = _lower(value)
    return "warn" if value == "warning" else value


def _unset(value: Any) -> Any:
    return None if value == "" else value


def _base_url(value: str) -> str:
    if "{" in value:
        raise ValueError("write a URL without placeholders, only providers have parameters")
    try:
        parse_base_url(value)
    except InvalidBaseUrl as error:
        raise ValueError(f"the URL {error}, write one such as https://api.openai.com") from None
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("write IP addresses or networks, such as 10.0.0.0/8") from None
    return value


Secret = Annotated[str, Field(repr=False)]
UpstreamUrl = Annotated[str, AfterValidator(_base_url)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
# YAML knows no decimals: so many digits come back from a float as they were written.
Usd = Annotated[Decimal, Field(ge=0, le=999_999, decimal_places=9)]
Names = Annotated[list[str], BeforeValidator(_split)]
LowerCase = Annotated[str, BeforeValidator(_lower)]
OptionalPath = Annotated[Path | None, BeforeValidator(_unset)]
Level = Annotated[Literal["debug", "info", "warn", "error"], BeforeValidator(_level)]


class Section(BaseModel):
    """A part of the tree. Unknown keys are ignored here; `load_config` has warned of them."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class Tls(Section):
    """enabled: whether the TLS listener is on. auto_gen: whether its certificate is made by Tokenomics.

    hosts: names and addresses beyond localhost that the generated certificate covers.
    """

    enabled: bool = True
    auto_gen: bool = True
    cert_dir: Path = Path("certs")
    cert_file: OptionalPath = None
    key_file: OptionalPath = None
    hosts: Names = []


class Server(Section):
    """Listeners, limits and the way upstream. Timeouts are seconds. Port 0 switches a listener off.

    idle_timeout: longest silence between two pieces of an upstream's answer.
    upstream_ca: PEM file with authorities trusted upstream, in addition to the system's.
    tunnel_hosts: ``host`` or ``host:port``, tunnelled through CONNECT without being looked into.
    """

    host: str = "127.0.0.1"
    http_port: Port = 8080
    https_port: Port = 8443
    upstream_url: UpstreamUrl = "https://api.openai.com"
    upstream_ca: OptionalPath = None
    tls: Tls = Tls()
    tunnel_hosts: Names = []
    trusted_proxies: Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(_split)] = []
    forward_client_ip: bool = False
    forward_cookies: bool = False
    forward_trace: bool = False
    max_body_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20
    header_timeout: Seconds = 30
    body_timeout: Seconds = 60
    idle_timeout: Seconds = 300
    connect_timeout: Seconds = 10
    drain_timeout: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10
    timing: bool = False


class AdminAuth(Section):
    """Basic authentication of the admin site; it applies when both are set."""

    username: str = ""
    password: Secret = ""


class Admin(Section):
    enabled: bool = True
    auth: AdminAuth = AdminAuth()


class Storage(Section):
    db_path: Path = Path("tokenomics.db")


class Redis(Section):
    addr: str = "localhost:6379"
    password: Secret = ""
    db: Annotated[int, Field(ge=0)] = 0
    cluster: bool = False
    tls: bool = False
    timeout: Seconds = 5


class Anomaly(Section):
    """When a session ran wild. A threshold of 0 is off; times are seconds.

    max_requests, max_usd: in `window`. max_identical: repeats of one request, each within `memory`.
    """

    enabled: bool = False
    max_requests: Count = 100
    max_identical: Count = 3
    max_usd: Usd = Decimal("1.00")
    window: Seconds = 60
    memory: Seconds = 300
    freeze: Seconds = 300


class Session(Section):
    """strict: a request has to name its session. default_budget_usd: of each session, None for no limit.

    on_store_error: what happens while Redis does not answer: nothing is let through, or each machine counts
    by itself.
    """

    backend: Annotated[Literal["memory", "redis"], BeforeValidator(_lower)] = "memory"
    redis: Redis = Redis()
    strict: bool = False
    default_budget_usd: Annotated[Usd | None, BeforeValidator(_unset)] = None
    on_store_error: Annotated[Literal["refuse", "local"], BeforeValidator(_lower)] = "refuse"
    anomaly: Anomaly = Anomaly()


class Budgets(Section):
    """How budgets are held.

    wait: seconds that a request waits for what others have reserved. slice: tokens of output that a stream
    reserves at a time. lease: seconds after which what a dead process reserved is charged. warn_at: percent.
    assumed_input, assumed_output: USD per 1,000,000 tokens where no price is known and that is allowed.
    """

    wait: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5
    slice: Annotated[int, Field(ge=1)] = 512
    lease: Seconds = 60
    warn_at: Annotated[int, Field(ge=1, le=100)] = 80
    assumed_input: Usd = Decimal(30)
    assumed_output: Usd = Decimal(60)


class Security(Section):
    """Names of the variables that hold the keys, not the keys themselves."""

    hash_key_env: str = "TOKENOMICS_HASH_KEY"
    encryption_key_env: str = "TOKENOMICS_ENCRYPTION_KEY"


class LogFile(Section):
    """max_mb: size beyond which a new file is begun; 0 for never. keep: old files."""

    enabled: bool = False
    level: Level = "info"
    path: Path = Path("tokenomics.log")
    max_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 100
    keep: Annotated[int, Field(ge=0, le=1000)] = 5


class Logging(Section):
    level: Level = "info"
    format: Annotated[Literal["json", "text", "tokengate"], BeforeValidator(_lower)] = "json"
    request_body: bool = False
    response_body: bool = False
    hide_token_hash: bool = False
    disable_request: bool = True
    proxy_log_file: Path = Path("proxy.log")
    file: LogFile = LogFile()


class Metrics(Section):
    """Prometheus. public: not only this machine may ask. models: the most with series of their own."""

    enabled: bool = True
    public: bool = False
    models: Annotated[int, Field(ge=1, le=10_000)] = 200


class Telemetry(Section):
    """OpenTelemetry, also without a variable that asks for it. The rest is said by ``OTEL_*`` variables."""

    enabled: bool = False


class Webhook(Section):
    """One receiver of events. events: patterns, a trailing ``*`` is allowed, empty means all.

    timeout: seconds of one attempt; zero and less mean 10. attempts: in all, before a delivery is given up.
    max_queue: deliveries that may wait; an event beyond them is dropped.
    timestamp_signature: sign the time of sending too, where there is a signing key.
    full_token_hash: events name tokens by the whole hash also. format: ``slack`` sends a message for people.
    allow_link_local, deny_private: addresses that may, or may not, be delivered to.
    """

    url: Annotated[str, Field(min_length=1, repr=False)]
    secret: Secret = ""
    signing_key: Secret = ""
    events: Names = []
    timeout: Annotated[
        float, Field(allow_inf_nan=False), AfterValidator(lambda value: value if value > 0 else 10.0)
    ] = 10
    insecure: bool = False
    format: Annotated[Literal["json", "slack"], BeforeValidator(_lower)] = "json"
    timestamp_signature: bool = True
    full_token_hash: bool = False
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    max_queue: Annotated[int, Field(ge=1)] = 10_000
    allow_link_local: bool = False
    deny_private: bool = False


class Events(Section):
    webhooks: list[Webhook] = Field(default=[], repr=False)


class RemoteWebhook(Section):
    enabled: bool = False
    path: str = "/v1/webhook"
    secret: Secret = ""
    signing_key: Secret = ""
    auto_register: bool = False
    callback_url: str = ""
    insecure: bool = False


class Remote(Section):
    """The central config server. sync: seconds between polls, 0 polls once at the start."""

    url: str = ""
    api_key: Secret = ""
    sync: Annotated[int, Field(ge=0)] = 0
    insecure: bool = False
    webhook: RemoteWebhook = RemoteWebhook()


class Ledger(Section):
    """memory: conversations are kept, of every token whose policy does not say no. memory_format: for people,
    for machines, or both. event_ledger: the session file tells what was sent and answered, event by event.
    """

    enabled: bool = True
    memory: bool = True
    memory_format: Annotated[Literal["markdown", "jsonl", "both"], BeforeValidator(_lower)] = "markdown"
    event_ledger: bool = False


class Errors(Section):
    """style: ``provider`` words refusals as the client's provider would, ``tokenomics`` in one own form."""

    style: Annotated[Literal["provider", "tokenomics"], BeforeValidator(_lower)] = "provider"


class Config(Section):
    """The whole configuration. All paths are absolute once `load_config` made it.

    dir: the data directory. Paths that are not given lie in it.
    source: the file that was read, None when there was none.
    warnings: what was ignored and why, one line each, for people.
    providers: overrides of the provider catalogue, by lower-case name, not checked yet.
    pricing, pricing_table: prices that come before the built-in ones; `load_config` has checked both.
    """

    dir: Path
    server: Server = Server()
    admin: Admin = Admin()
    storage: Storage = Storage()
    session: Session = Session()
    budgets: Budgets = Budgets()
    security: Security = Security()
    logging: Logging = Logging()
    metrics: Metrics = Metrics()
    telemetry: Telemetry = Telemetry()
    events: Events = Events()
    remote: Remote = Remote()
    ledger: Ledger = Ledger()
    errors: Errors = Errors()
    cli_maps: dict[str, LowerCase] = {}
    default_provider: LowerCase = ""
    providers: dict[str, dict[str, Any] | None] = Field(default={}, repr=False)
    pricing: dict[str, Any] = {}
    pricing_table: OptionalPath = None

    source: Path | None = None
    warnings: list[str] = []

    @model_validator(mode="after")
    def _put_paths_into_dir(self) -> Config:
        # Frozen for everybody else. An absolute path stays as it is: dir / "/a" is "/a".
        tls = self.server.tls.model_copy(update={"cert_dir": self.dir / self.server.tls.cert_dir})
        log = self.logging.file.model_copy(update={"path": self.dir / self.logging.file.path})
        self.__dict__["server"] = self.server.model_copy(update={"tls": tls})
        self.__dict__["storage"] = Storage(db_path=self.dir / self.storage.db_path)
        self.__dict__["logging"] = self.logging.model_copy(
            update={"proxy_log_file": self.dir / self.logging.proxy_log_file, "file": log}
        )
        if self.pricing_table is not None:
            self.__dict__["pricing_table"] = self.dir / self.pricing_table
        return self
