"""Misbehaviours that are no valid HTTP."""

from __future__ import annotations

import asyncio

from tests.fake_provider.behaviours import Options, behaviour
from tests.fake_provider.call import Call


@behaviour
async def unasked_101(call: Call, options: Options) -> bool:
    """Switches protocols for a client that asked for no such thing."""
    call.record.status = 101
    await call.wire.head(101, [("Upgrade", "websocket"), ("Connection", "Upgrade")])
    await call.wire.raw(b"these are no HTTP bytes")
    return True


@behaviour
async def status_000(call: Call, options: Options) -> None:
    call.manner.status_line = b"HTTP/1.1 000 OK"


@behaviour
async def status_999(call: Call, options: Options) -> None:
    call.manner.status_line = b"HTTP/1.1 999 Beyond"


@behaviour
async def garbage(call: Call, options: Options) -> bool:
    """Something that is no status line."""
    await call.wire.raw(b"SSH-2.0-OpenSSH_9.9\r\n")
    await call.wire.close()
    return True


@behaviour
async def bad_header_nul(call: Call, options: Options) -> None:
    call.manner.header_lines.append(b"x-bad: before\x00after")


@behaviour
async def bad_header_cr(call: Call, options: Options) -> None:
    call.manner.header_lines.append(b"x-bad: before\rSet-Cookie: injected=1")


@behaviour
async def obs_fold(call: Call, options: Options) -> None:
    call.manner.header_lines.append(b"x-folded: first\r\n second")


@behaviour
async def many_headers(call: Call, options: Options) -> None:
    """More headers than anybody needs. number."""
    call.manner.header_lines += [b"x-%d: 1" % number for number in range(int(options.get("number", 10_000)))]


@behaviour
async def short_body(call: Call, options: Options) -> bool:
    """Promises more bytes than it sends."""
    await call.wire.head(200, [("Content-Type", "application/json"), ("Content-Length", "1000")])
    await call.wire.raw(b'{"id":"short"')
    await call.wire.close()
    return True


@behaviour
async def two_lengths(call: Call, options: Options) -> bool:
    lengths = [("Content-Length", "2"), ("Content-Length", "20")]
    await call.wire.head(200, [("Content-Type", "application/json"), *lengths])
    await call.wire.raw(b'{}{"smuggled":"body"}')
    return True


@behaviour
async def bad_chunk(call: Call, options: Options) -> bool:
    """Announces a chunk with a size that is no number."""
    await call.wire.head(200, [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")])
    await call.wire.raw(b'5\r\n{"a":\r\nzz\r\n1}\r\n0\r\n\r\n')
    return True


@behaviour
async def bytes_after(call: Call, options: Options) -> bool:
    """Sends a second answer that nobody asked for."""
    await call.wire.head(200, [("Content-Type", "application/json"), ("Content-Length", "2")])
    await call.wire.raw(b"{}")
    await call.wire.head(200, [("Content-Type", "application/json"), ("Content-Length", "15")])
    await call.wire.raw(b'{"evil":"extra"}'[:15])
    return True


@behaviour
async def bad_json(call: Call, options: Options) -> bool:
    """A body that is not the JSON it says it is."""
    body = b'{"id": "cut in the mid'
    await call.wire.head(200, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    await call.wire.raw(body)
    call.record.status, call.record.finished = 200, True
    return True


@behaviour
async def raw_bytes(call: Call, options: Options) -> bool:
    """Writes the bytes as they are. data; then: ``close``, ``keep`` the connection, or fall ``silent``."""
    await call.wire.raw(options["data"])
    if options["then"] == "silent":
        await asyncio.Event().wait()
    if options["then"] == "close":
        await call.wire.close()
    call.record.status, call.record.finished = 200, True
    return True


@behaviour
async def raw_pieces(call: Call, options: Options) -> bool:
    """Writes the bytes in pieces of a size, one after the other. data; size."""
    data = options["data"]
    for at in range(0, len(data), options["size"]):
        await call.wire.raw(data[at : at + options["size"]])
        await asyncio.sleep(0.001)
    call.record.status, call.record.finished = 200, True
    return True
