"""Admission: where did a request come from, is its target allowed, is it well-formed."""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import urlsplit

from mitmproxy import http, tls
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons import dashboard, engine
from addons.answer import EXCHANGE, HEAD, STYLE, fields_of
from addons.figures import METRICS, SETTLED, STATS
from addons.guarded import guarded
from addons.services import Services
from tokenomics_core import __version__
from tokenomics_core.dialects import recognise
from tokenomics_core.exchange import Exchange, Ingress
from tokenomics_core.process import Process
from tokenomics_core.refusal import Refusal
from tokenomics_core.request_head import VERSIONS, check_fields, check_head
from tokenomics_core.tokens.proof import CHALLENGE, PROOF, prove

log = logging.getLogger("tokenomics")

AGENT_HEADERS = {
    f"x-openclaw-{name.replace('_', '-')}": name
    for name in ("agent_id", "agent_type", "team", "channel", "skill", "environment")
}

# Bodies of these stream through: they are files, not prompts.
_UPLOAD_PATHS = ("/files", "/parts", "/upload/v1beta/files")


class Admission:
    def __init__(self, services: Services) -> None:
        self.services = services
        server = services.config.server
        self.tunnels = {_host_port(entry) for entry in server.tunnel_hosts}
        self.own_names = {"localhost", "127.0.0.1", "::1", server.host, *server.tls.hosts}
        self.trusted = [ipaddress.ip_network(entry, strict=False) for entry in server.trusted_proxies]
        # A little later than the engine, which can still answer where HTTP has begun.
        self.silent = engine.Watchdog(1.2 * server.header_timeout, engine.close_connection)
        self.connecting = engine.Watchdog(server.connect_timeout, engine.close_connection)
        self.process = Process.own()

    # Connections.

    def client_connected(self, client: Client) -> None:
        self.silent.watch(client, client)
        engine.prepare_connection(client)

    def client_disconnected(self, client: Client) -> None:
        self.silent.done(client)
        self.services.upstreams.pop(client.id, None)
        self.services.proxy_authorization.pop(client.id, None)

    @guarded
    def http_connect(self, flow: http.HTTPFlow) -> None:
        """CONNECT is refused before it is answered: a later no would not be seen as one."""
        self.silent.done(flow.client_conn)
        if flow.request.http_version not in VERSIONS:
            raise Refusal(400, "bad_request", "this HTTP version is not spoken here")
        check_fields(flow.request.headers.fields)
        host, port = _clean(flow.request.host), flow.request.port
        if (host, port) in self.tunnels:
            self._allow(flow.client_conn, (host, port))
        elif not self.services.catalogue.by_host(host, port, "https"):
            # No row and no request line tells of it, and its user may have to list it.
            log.info("CONNECT %s:%d was refused: this host is no known provider", host[:255], port)
            raise Refusal(
                403, "host_not_allowed", "this host is no known provider; list it in server.tunnel_hosts"
            )
        elif ":" in flow.request.host or _is_address(host):
            raise Refusal(403, "host_not_allowed", "a provider is reached by its name, not by its address")
        self.silent.watch(flow.client_conn, flow.client_conn)

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        address = data.context.server.address
        if address is not None and (_clean(address[0]), address[1]) in self.tunnels:
            data.ignore_connection = True
            self.silent.done(data.context.client)

    @guarded
    def server_connect(self, data: ServerConnectionHookData) -> None:
        """The last line: a connection that no cleared request and no tunnel asked for is not made."""
        address = data.server.address
        allowed = self.services.upstreams.get(data.client.id, set())
        if address is None or (_clean(address[0]), address[1]) not in allowed:
            raise Refusal(403, "host_not_allowed", "no request was cleared for this address")
        # One protocol upstream: HTTP/2 would bring connections whose streams fail together.
        data.server.alpn_offers = (b"http/1.1",)
        self.connecting.watch(data.client, data.server)

    def server_connected(self, data: ServerConnectionHookData) -> None:
        if not data.server.tls:
            self.connecting.done(data.server)

    def tls_established_server(self, data: tls.TlsData) -> None:
        self.connecting.done(data.conn)

    def server_connect_error(self, data: ServerConnectionHookData) -> None:
        self.connecting.done(data.server)

    def server_disconnected(self, data: ServerConnectionHookData) -> None:
        self.connecting.done(data.server)

    # Requests.

    @guarded
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self.silent.done(flow.client_conn)
        request = flow.request
        flow.metadata[STYLE] = self.services.config.errors.style
        # request.method is in capitals, whatever came.
        method = request.data.method.decode("latin-1")
        check_head(method, request.data.path, request.http_version, request.headers.fields)
        head = flow.metadata[HEAD] = fields_of(request.headers)
        path, _, query = request.path.partition("?")
        ingress, host = self._ingress(flow)
        if ingress is Ingress.BASE_URL and self._own_route(flow, path):
            return
        exchange = Exchange(
            id=self.services.new_id(),
            started=self.services.now(),
            clock=self.services.clock(),
            ingress=ingress,
            method=method,
            path=path,
            query=query,
            dialect=recognise(method, path, head),
            host=host,
            remote_addr=self._remote_addr(flow, head),
            user_agent=head.get("user-agent", "")[:512],
            agent={key: head[name][:256] for name, key in AGENT_HEADERS.items() if head.get(name)},
            traceparent=head.get("traceparent", ""),
            tracestate=head.get("tracestate", ""),
        )
        flow.metadata[EXCHANGE] = exchange
        exchange.upload = flow.request.stream = _is_upload(exchange, head)

    def _ingress(self, flow: http.HTTPFlow) -> tuple[Ingress, str]:
        """How the request came, and the provider's host it aimed at, if any."""
        request = flow.request
        ingress: Ingress = flow.metadata["ingress"]
        if ingress is Ingress.TUNNEL:
            if flow.metadata["absolute"]:
                raise Refusal(400, "bad_request", "an absolute request line has no place inside a tunnel")
            if request.scheme != "https":
                raise Refusal(400, "tls_required", "only TLS is spoken inside CONNECT")
            if _host_port(request.host_header or "", 443) != (_clean(request.host), request.port):
                raise Refusal(403, "host_mismatch", "the Host header names another host than the tunnel")
            return ingress, _clean(request.host)
        if ingress is Ingress.FORWARD:
            if self._is_own(request.host, request.port):
                return Ingress.BASE_URL, ""
            if request.scheme != "http" or not self.services.catalogue.by_host(
                _clean(request.host), request.port, "http"
            ):
                raise Refusal(
                    403,
                    "host_not_allowed",
                    "this URL is no plain HTTP provider; https URLs go through CONNECT (HTTPS_PROXY)",
                )
            return ingress, _clean(request.host)
        return ingress, ""

    def _own_route(self, flow: http.HTTPFlow, path: str) -> bool:
        method = flow.request.method
        if path in ("/health", STATS, METRICS) or path.lower() == "/ping":
            if method not in ("GET", "HEAD"):
                raise Refusal(405, "method_not_allowed", "only GET is answered here")
            if path in (STATS, METRICS):
                if path == STATS or not self.services.config.metrics.public:
                    self._check_local(flow, path)
                # Answered by the next step: ledger and counters have to be asked.
                flow.metadata["own_route"] = path
                return True
            if path == "/health":
                body, kind = b'{"status":"ok"}', "application/json"
            else:
                body, kind = b".", "text/plain"
        elif path.startswith(SETTLED) and method == "GET":
            self._check_local(flow, "what is settled")
            flow.metadata["own_route"] = SETTLED
            return True
        elif path.startswith(dashboard.PREFIX):
            self._check_local(flow, "the dashboard")
            # Answered by the next step: the counters have to be asked, which takes a while.
            flow.metadata["own_route"] = dashboard.PREFIX
            return True
        elif path == "/" and method == "HEAD":
            # Agents ask this, without a key, to see whether anybody is there.
            body, kind = b"", "text/plain"
        else:
            return False
        headers = {
            "content-type": kind,
            "x-tokenomics-version": __version__,
            "x-tokenomics-instance": self.services.instance,
        }
        if path == "/health" and (nonce := flow.metadata[HEAD].get(CHALLENGE)):
            headers[PROOF] = self._proof(flow, nonce)
        flow.response = http.Response.make(200, b"" if method == "HEAD" else body, headers)
        return True

    def _proof(self, flow: http.HTTPFlow, nonce: str) -> str:
        services = self.services
        port = int(flow.client_conn.sockname[1])
        key = services.store.keys.hash_key
        return prove(key, nonce, data_dir=services.config.dir, port=port, process=self.process)

    def _check_local(self, flow: http.HTTPFlow, what: str) -> None:
        # By name too: any web page can point a name of its own at this machine.
        local = ipaddress.ip_address(flow.client_conn.peername[0]).is_loopback
        if not local or _clean(flow.request.host) not in self.own_names:
            raise Refusal(403, "local_only", f"{what} is local-only")

    def _remote_addr(self, flow: http.HTTPFlow, head: dict[str, str]) -> str:
        peer = str(flow.client_conn.peername[0])
        if any(ipaddress.ip_address(peer) in network for network in self.trusted):
            for header in ("true-client-ip", "x-real-ip", "x-forwarded-for"):
                # Of a list, the last was written by the trusted proxy; what stands before it, by anybody.
                value = head.get(header, "").rpartition(",")[2].strip()
                if _is_address(value):
                    return value
        return peer

    def _is_own(self, host: str, port: int) -> bool:
        ports = {address[1] for address in engine.listen_addresses()}
        return _clean(host) in self.own_names and port in ports

    def _allow(self, client: Client, address: tuple[str, int]) -> None:
        self.services.upstreams.setdefault(client.id, set()).add(address)


def _is_upload(exchange: Exchange, head: dict[str, str]) -> bool:
    kind = head.get("content-type", "").partition(";")[0].strip().lower()
    return (
        exchange.method in ("POST", "PUT", "PATCH")
        and exchange.path.endswith(_UPLOAD_PATHS)
        and kind not in ("application/json", "")
    )


def _clean(host: str) -> str:
    return host.rstrip(".").lower()


def _host_port(text: str, default: int = 443) -> tuple[str, int]:
    try:
        parts = urlsplit("//" + text)
        return _clean(parts.hostname or ""), parts.port or default
    except ValueError:
        return "", 0


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
