"""Request reading: what a request's bytes say: its body, its model, and whether it asks for a stream."""

from __future__ import annotations

from tokenomics_core.exchange import Exchange
from tokenomics_core.json_body import InvalidJson, JsonBody
from tokenomics_core.multipart import form_field
from tokenomics_core.refusal import Refusal


def read_request(exchange: Exchange, raw: bytes, content_type: str) -> None:
    """Fills body, model and stream of the exchange. content_type: as it came. Raises Refusal."""
    exchange.request_bytes = len(raw)
    dialect = exchange.dialect
    media = content_type.partition(";")[0].strip().lower()
    form_model = ""
    if not raw:
        if exchange.method == "POST" and not dialect.unknown:
            raise Refusal(400, "invalid_json", "invalid JSON body")
    elif media == "multipart/form-data" and dialect.unknown:
        form_model = form_field(raw, content_type, "model")
    elif not dialect.unknown or media == "application/json" or media.endswith("+json"):
        try:
            exchange.body = JsonBody(raw)
        except InvalidJson as error:
            # Elsewhere an array is as good as an object; it names no model.
            if not dialect.unknown or not raw.lstrip().startswith(b"["):
                raise Refusal(400, "invalid_json", f"invalid JSON body: {error}") from None
    if exchange.body is not None and not isinstance(exchange.body.value.get("model", ""), str):
        raise Refusal(400, "invalid_model", "model must be a string")
    exchange.model = form_model or dialect.model(exchange.path, exchange.query, exchange.body)
    exchange.stream = dialect.is_stream(exchange.path, exchange.query, exchange.body)
