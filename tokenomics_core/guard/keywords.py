r"""Keywords: a list of words as one pattern, each found where it stands as a word.

A keyword's ends that are ASCII are bounded by ``\b``, as in the Go original: ``secret`` is not found in
``secrets``, and ``.env`` only behind a word character. An end that is another letter is bounded by what
Unicode calls letters and digits; in scripts that put no blanks between words it is not bounded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import re2

_NO_BLANKS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)


class Keywords:
    def __init__(self, keywords: Sequence[str]) -> None:
        self._order = {keyword.casefold(): at for at, keyword in reversed(list(enumerate(keywords)))}
        self.keywords = tuple(keywords)
        self.pattern = "(?i)(?:" + "|".join(map(_quoted, keywords)) + ")"

    def place(self, value: str) -> int:
        """Which keyword a match is, as its place in the list."""
        return self._order.get(value.casefold(), 0)

    def bounded(self, text: str, start: int, end: int) -> bool:
        """Whether text[start:end], which matches the pattern, stands as a word."""
        before = text[start - 1 : start]
        after = text[end : end + 1]
        return not (_joins(text[start], before) or _joins(text[end - 1], after))


def _joins(own: str, neighbour: str) -> bool:
    """Whether a keyword's last character and the one behind it are of one word."""
    if own.isascii() or not neighbour or not _is_letter(own) or _NO_BLANKS.match(own):
        return False
    return _is_letter(neighbour) and not _NO_BLANKS.match(neighbour)


def _is_letter(character: str) -> bool:
    return character == "_" or unicodedata.category(character)[0] in "LMN"


def _quoted(keyword: str) -> str:
    before = r"\b" if keyword[0].isascii() else ""
    after = r"\b" if keyword[-1].isascii() else ""
    return f"{before}{re2.escape(keyword)}{after}"
