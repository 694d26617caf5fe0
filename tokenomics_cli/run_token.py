"""The token of a run: made for it, good for a day at a time, and deleted after it. Its ledger rows stay."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from tokenomics_cli import token_usage
from tokenomics_cli.command import Invocation, warn
from tokenomics_cli.errors import CommandError

LASTS = "24h"


@dataclass(frozen=True)
class RunToken:
    """hash: empty for a token that another machine keeps. made: by this run."""

    token: str
    hash: str = ""
    made: bool = False

    def extend(self, invocation: Invocation) -> None:
        """A run may take longer than the token lasts."""
        from tokenomics_core.tokens import StoreError, TokenNotFound, parse_expiry

        if self.made:
            with suppress(StoreError, TokenNotFound), invocation.store() as store:
                store.update(self.hash, expires=parse_expiry(LASTS, datetime.now(UTC)))

    def end(self, invocation: Invocation) -> None:
        from tokenomics_core.counters import CountersUnavailable
        from tokenomics_core.tokens import StoreError, TokenNotFound

        if not self.made:
            return
        try:
            with invocation.store() as store, suppress(TokenNotFound):
                store.delete(self.hash)
            token_usage.forget(invocation, [self.hash])
        except (StoreError, CountersUnavailable) as error:
            warn(f"the token of this run stays until it expires: {error}")


def make_token(invocation: Invocation, policy: str, label: str) -> RunToken:
    """A new token under this policy. Raises StoreError."""
    from tokenomics_core.tokens import hash_token, new_token, parse_expiry

    now = datetime.now(UTC)
    token = new_token(os.urandom)
    hash = hash_token(token, invocation.keys.hash_key)
    with invocation.store() as store:
        # What a run left that was killed.
        leftover = [
            each.hash for each in store.list() if each.label.startswith("run: ") and each.expired(now)
        ]
        for each in leftover:
            store.delete(each)
        store.create(hash, policy, now=now, expires=parse_expiry(LASTS, now), label=label)
    return RunToken(token, hash, made=True)


def known_token(invocation: Invocation, token: str) -> RunToken:
    """A token that was given. Raises CommandError when the gateway would refuse it."""
    from tokenomics_core.tokens import hash_token, looks_like_token

    if not looks_like_token(token):
        raise CommandError("--token takes a wrapper token, tkn_...; make one with token create")
    hash = hash_token(token, invocation.keys.hash_key)
    with invocation.existing_store() as store:
        record = store.get(hash) if store else None
    if record is None:
        raise CommandError(
            f"the token is not known in {invocation.config.dir}; name its data directory with --dir"
        )
    if record.disabled or record.expired(datetime.now(UTC)):
        state = "disabled" if record.disabled else "expired"
        raise CommandError(f"the token is {state}; see token update --hash {record.short}")
    return RunToken(token, hash)
