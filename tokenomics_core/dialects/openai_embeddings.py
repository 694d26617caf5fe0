"""OpenAI's Embeddings: text in, numbers out, nothing streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tokenomics_core.dialects.base import Answer, Framing, Prompt, StreamReader
from tokenomics_core.dialects.openai_chat import ChatLog
from tokenomics_core.dialects.openai_completions import count_numbers
from tokenomics_core.dialects.openai_family import OpenAIDialect
from tokenomics_core.dialects.reading import EventReader
from tokenomics_core.dialects.texts import strings
from tokenomics_core.dialects.usage import find_usage, text
from tokenomics_core.json_body import JsonBody


class OpenAIEmbeddings(OpenAIDialect):
    name: ClassVar[str] = "openai_embeddings"
    operation: ClassVar[str] = "embeddings"

    def input_texts(self, body: JsonBody) -> Iterator[str]:
        yield from strings(body.value.get("input"))

    def input_overhead(self, body: JsonBody) -> int:
        return count_numbers(body.value.get("input"))

    def is_stream(self, path: str, query: str, body: JsonBody | None) -> bool:
        return False

    def add_prompts(self, body: JsonBody, prompts: Sequence[Prompt]) -> None:
        """Not injected: there is nobody to read them."""

    def read_answer(self, body: dict[str, Any]) -> Answer:
        return Answer(usage=find_usage(body), model=text(body.get("model")), ended=True)

    def stream_reader(self, framing: Framing, *, hide_usage: bool = False) -> StreamReader:
        return EventReader(framing, ChatLog(), self.read_answer)
