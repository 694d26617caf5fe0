"""Answers one HTTP request, over whatever version of HTTP it came."""

from __future__ import annotations

from tests.fake_provider import behaviours, errors, malformed, routes, sending
from tests.fake_provider.call import Call
from tests.fake_provider.errors import ProviderError

# Importing the module is what makes its behaviours known.
assert malformed


async def answer(call: Call) -> bool:
    """Sends the answer in the manner that script or model ask for; True when the connection stays usable."""
    dialect, handler = routes.find(call)
    step = behaviours.next_step(call.state, call.model)
    if await behaviours.apply(call, step):
        return call.record.finished
    reply = routes.reply(call, dialect, handler)
    error = ProviderError(500, "The server had an error while processing your request.")
    return await sending.send(call, reply, lambda: errors.event(call, dialect, error))
