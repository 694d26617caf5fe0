"""What images, sound and files of a request cost as input, roughly and rather too much.

The true number stands in the provider's usage. Sizes are those of the base64 text; nothing is decoded.

Images: Anthropic scales to about 1,600 tokens at most, OpenAI bills 85 at low detail, Gemini 258 a tile.
Sound: OpenAI counts 10 tokens a second and its transcript, Gemini 32 a second. Seconds are guessed from the
bytes: raw samples take at least 16,000 a second, compressed speech seldom under 4,000.
Files: a page of a PDF is read as text and as an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenomics_core.dialects.usage import mapping, text

_RAW_BYTES = 16_000
_COMPRESSED_BYTES = 4_000
_FILE_LEAST = 1_000
_BYTES_PER_FILE_TOKEN = 3
_FILES = frozenset(["file", "input_file", "document", "container_upload"])
_IMAGES = frozenset(["image_url", "input_image", "image", "computer_screenshot"])
_INSIDE = ("content", "output", "parts", "source")


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens of an image, of one at low detail, and of a second of sound."""

    image: int
    low: int
    second: int


OPENAI = Rates(image=1_600, low=85, second=15)
ANTHROPIC = Rates(image=1_600, low=1_600, second=15)
GEMINI = Rates(image=1_290, low=258, second=32)
GEMINI_LOW = Rates(image=258, low=258, second=32)
OLLAMA = Rates(image=1_600, low=1_600, second=32)


def media_tokens(value: Any, rates: Rates) -> int:
    """The tokens of all media in messages, parts, or lists of them."""
    waiting = [value]
    tokens = 0
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += [each for each in item if isinstance(each, dict | list)]
        elif isinstance(item, dict):
            found = _part(item, rates)
            if found is not None:
                tokens += found
                continue
            if isinstance(images := item.get("images"), list):
                tokens += rates.image * len(images)
            for name in _INSIDE:
                inner = item.get(name)
                if isinstance(inner, dict | list):
                    waiting.append(inner)
            for name in ("functionResponse", "function_response"):
                if name in item:
                    waiting.append(item[name])
    return tokens


def _part(part: dict[str, Any], rates: Rates) -> int | None:
    """The tokens of one part; None for what is no medium."""
    kind = part.get("type")
    if not isinstance(kind, str):
        return _gemini_part(part, rates)
    if kind in _IMAGES:
        detail = part.get("detail") or mapping(part.get("image_url")).get("detail")
        return rates.low if detail == "low" else rates.image
    if kind in _FILES:
        source = mapping(part.get("source"))
        if source.get("type") in ("text", "content"):
            # Counted as text; blocks inside may still be images.
            return None
        own = mapping(part.get("file"))
        return _file(text(source.get("data") or part.get("file_data") or own.get("file_data")))
    if kind in ("input_audio", "audio"):
        own = mapping(part.get("input_audio"))
        data = text(own.get("data") or part.get("audio") or part.get("data"))
        return _sound(data, rates, compressed=own.get("format") not in (None, "wav", "pcm16"))
    return None


def _gemini_part(part: dict[str, Any], rates: Rates) -> int | None:
    inline = part.get("inlineData") or part.get("inline_data")
    blob = mapping(inline or part.get("fileData") or part.get("file_data"))
    if not blob:
        return None
    kind = text(blob.get("mimeType") or blob.get("mime_type")).lower()
    data = text(blob.get("data"))
    if kind.startswith("image/"):
        return rates.image
    if kind.startswith(("audio/", "video/")):
        raw = kind.startswith(("audio/wav", "audio/x-wav", "audio/l16", "audio/pcm"))
        # A second of video is an image and its sound.
        frame = GEMINI_LOW.image if kind.startswith("video/") else 0
        return _sound(data, Rates(0, 0, rates.second + frame), compressed=not raw)
    return _file(data)


def _file(data: str) -> int:
    return max(_FILE_LEAST, len(data) * 3 // 4 // _BYTES_PER_FILE_TOKEN)


def _sound(data: str, rates: Rates, *, compressed: bool) -> int:
    seconds = 1 + len(data) * 3 // 4 // (_COMPRESSED_BYTES if compressed else _RAW_BYTES)
    return seconds * rates.second
