"""What of an exchange is kept, and when."""

from datetime import timedelta

import pytest

from tests.ledger.build import START, TOKEN_HASH, an_attempt, an_exchange
from tests.memory.build import REQUEST_HEADERS, RESPONSE_HEADERS
from tokenomics_core.memory.capture import Capture
from tokenomics_core.memory.entry import Streamed
from tokenomics_core.memory.record import record_of
from tokenomics_core.refusal import Refusal

NOW = START + timedelta(seconds=2)


def recorded(exchange, answer=b"{}", **changes):
    return record_of(
        exchange,
        NOW,
        request_headers=REQUEST_HEADERS,
        request_body=b'{"model":"gpt-4o"}',
        response_headers=RESPONSE_HEADERS,
        answer=answer,
        **changes,
    )


def answered(**changes):
    return an_exchange(**({"upstream_status": 200, "status": 200} | changes))


def test_both_sides_with_their_times():
    record = recorded(answered(session="s", attempts=[an_attempt(model="a"), an_attempt(1, "b")], current=1))
    assert (record.request.at, record.response.at) == (START, NOW)
    assert (record.token_hash, record.token) == (TOKEN_HASH, TOKEN_HASH[:16])
    # The model that answered, not the one that was asked for.
    assert (record.model, record.session, record.dialect, record.status) == ("b", "s", "openai_chat", 200)
    assert record.request.body == b'{"model":"gpt-4o"}'
    assert record.response.body == b"{}"


@pytest.mark.parametrize(
    "changes",
    [{"token": None}, {"model": ""}, {"upload": True}, {"upstream_status": 0}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_is_not_kept(changes):
    assert recorded(answered(**changes)) is None


@pytest.mark.parametrize(
    "changes",
    [{"upstream_status": 400}, {"upstream_status": 529}, {"refusal": Refusal(403, "rule_violation", "no")}],
)
def test_of_an_error_the_request_alone(changes):
    record = recorded(answered(**changes), b"secret words")
    assert record.response is None
    assert record.request.body


def test_a_stream():
    capture = Capture("sse")
    capture.feed(b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n')
    record = recorded(answered(), capture.close())
    assert isinstance(record.response.body, Streamed)
    assert record.response.body.text == "Hi"


def test_bodies_are_cut_and_their_size_is_known():
    record = recorded(answered(), b"x" * 5000, most=1000)
    assert (len(record.response.body), record.response.size) == (1000, 5000)
    assert record.size < 3000
    assert recorded(answered(), b"", answer_size=77).response.size == 77
