"""Labels: how many different values one may have. Clients choose model names; a series is for ever."""

from __future__ import annotations

OTHER = "other"


class Bounded:
    """The values of one label, in the order in which they came; beyond `most` of them, ``other``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, value: str, *, admit: bool = True) -> str:
        """The value, or ``other``. admit: whether one that is not known yet may become so.

        The empty string is always itself: that is, for Prometheus, a series without the label.
        """
        if not value or value in self._known:
            return value
        if not admit or len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value


class Models:
    """The pairs of provider and model. most: pairs.

    A model has a label of its own once a provider has answered for it: names that somebody made up cost
    nothing.
    """

    def __init__(self, most: int) -> None:
        self._providers = Bounded(64)
        self._pairs = Bounded(most)

    def of(self, provider: str, model: str, *, answered: bool) -> tuple[str, str]:
        """provider: from the configuration. answered: with a status below 400."""
        provider = self._providers.of(provider)
        if not model:
            return provider, ""
        pair = f"{provider}\0{model}"
        return provider, model if self._pairs.of(pair, admit=answered) == pair else OTHER
