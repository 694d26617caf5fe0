"""Sends a reply in the manner that is asked for, and bills what was sent."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace

from tests.fake_provider.call import Call, Event, Headers, Manner, Reply

ErrorEvent = Callable[[], bytes]


async def send(call: Call, reply: Reply, error_event: ErrorEvent) -> bool:
    """Sends it; True when the connection can serve another request."""
    manner = call.manner
    if manner.first_byte:
        await asyncio.sleep(manner.first_byte)
    call.record.status = reply.status
    headers: Headers = [("Content-Type", reply.content_type), *reply.headers, *manner.headers]
    if manner.gzip:
        headers.append(("Content-Encoding", "gzip"))
    if reply.events is not None:
        return await _stream(call, reply, headers, error_event)
    body = gzip.compress(reply.body) if manner.gzip else reply.body
    call.record.bill = reply.bill
    if manner.cut_after is not None or manner.close_after is not None or manner.hang_after is not None:
        await _head(call, reply, [*headers, ("Content-Length", str(len(body)))])
        await call.wire.raw(body[: len(body) // 2])
        return await _break_off(call)
    # Said before the last bytes go out, so that whoever has read them finds it said.
    call.record.finished = True
    if manner.trailers:
        await _head(call, reply, [*headers, ("Transfer-Encoding", "chunked")])
        await call.wire.chunk(body)
        await call.wire.last_chunk(manner.trailers)
    else:
        await _head(call, reply, [*headers, ("Content-Length", str(len(body)))])
        if call.record.method != "HEAD":
            await call.wire.raw(body)
        await call.wire.finish()
    return True


async def _stream(call: Call, reply: Reply, headers: Headers, error_event: ErrorEvent) -> bool:
    manner, record = call.manner, call.record
    await _head(call, reply, [*headers, ("Cache-Control", "no-cache"), ("Transfer-Encoding", "chunked")])
    record.bill = replace(reply.bill, output_tokens=0)
    packer = zlib.compressobj(wbits=31) if manner.gzip else None
    assert reply.events is not None
    for number, event in enumerate(reply.events):
        if number in (manner.cut_after, manner.close_after, manner.hang_after):
            return await _break_off(call)
        if number == manner.error_after:
            await _write(call, error_event(), manner)
            break
        if number > manner.fast and manner.delay:
            await asyncio.sleep(manner.delay)
        await _send_event(call, event, packer)
    if packer:
        await call.wire.chunk(packer.flush())
    record.finished = True
    await call.wire.last_chunk(manner.trailers)
    return True


async def _send_event(call: Call, event: Event, packer: zlib._Compress | None) -> None:
    manner, record = call.manner, call.record
    data = event.data.replace(b"\n", manner.newline) if manner.newline != b"\n" else event.data
    if manner.comments:
        data = b": still working" + manner.newline * 2 + data
    if packer:
        data = packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)
    await _write(call, data, manner)
    record.events += 1
    record.bill.output_tokens += event.tokens


async def _write(call: Call, data: bytes, manner: Manner) -> None:
    if not manner.cut_bytes:
        return await call.wire.chunk(data)
    for at in range(0, len(data), manner.cut_bytes):
        await call.wire.chunk(data[at : at + manner.cut_bytes])
        await asyncio.sleep(0)


async def _head(call: Call, reply: Reply, headers: Headers) -> None:
    manner = call.manner
    await call.wire.head(reply.status, headers, status_line=manner.status_line, lines=manner.header_lines)


async def _break_off(call: Call) -> bool:
    """Leaves the answer where it is: reset, silence, or a plain end."""
    manner = call.manner
    if manner.cut_after is not None:
        # Lets the bytes before the reset arrive: a reset may overtake them.
        await asyncio.sleep(0.02)
        await call.wire.reset()
    elif manner.close_after is not None:
        await call.wire.close()
    else:
        await asyncio.Event().wait()
    return False
