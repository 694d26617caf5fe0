"""Records for tests."""

from datetime import UTC, datetime

from tokenomics_core.memory.entry import Side, Streamed
from tokenomics_core.memory.record import Record

HASH = "a1b2c3d4e5f60718" * 4
SHORT = HASH[:16]
ASKED = datetime(2026, 4, 5, 6, 7, 8, 900000, tzinfo=UTC)
ANSWERED = datetime(2026, 4, 5, 6, 7, 11, tzinfo=UTC)

REQUEST_HEADERS = (("content-type", "application/json"), ("user-agent", "till/3.0"), ("accept", "*/*"))
RESPONSE_HEADERS = (("Content-Type", "application/json"), ("x-request-id", "req_77"))


def a_side(body=b'{"model":"m"}', headers=REQUEST_HEADERS, at=ASKED, size=None):
    if size is None:
        size = body.size if isinstance(body, Streamed) else len(body)
    return Side(at, tuple(headers), body, size)


def an_answer(body=b'{"choices":[{"message":{"content":"Yes."}}]}', headers=RESPONSE_HEADERS, at=ANSWERED):
    return a_side(body, headers, at)


def a_record(number=0, **changes):
    known = {
        "id": f"req_{number:032x}",
        "token_hash": HASH,
        "session": "s-1",
        "model": "gpt-4o",
        "dialect": "openai_chat",
        "path": "/v1/chat/completions",
        "status": 200,
        "stream": False,
        "request": a_side(),
        "response": an_answer(),
    }
    return Record(**(known | changes))
