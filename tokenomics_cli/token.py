"""tokenomics-cli token: create, get, list, update, delete, purge, rekey."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokenomics_cli import completing, token_usage
from tokenomics_cli.command import Invocation, JsonFlag, command, new_group, print_json, warn
from tokenomics_cli.errors import CommandError
from tokenomics_cli.token_text import counted, print_head, print_policy, print_state, shown, summary, value

if TYPE_CHECKING:
    from tokenomics_core.tokens import Expiry, TokenRecord, TokenStore

app = new_group("Create, inspect, change and delete wrapper tokens.")

PolicyFlag = Annotated[
    str,
    typer.Option(
        "--policy", metavar="JSON|@FILE", help="The policy; @FILE reads it, @- from standard input."
    ),
]
ExpiresFlag = Annotated[
    str, typer.Option("--expires", metavar="WHEN", help="24h, 7d, 30d, 1y, or an RFC 3339 timestamp.")
]
NewExpiresFlag = Annotated[
    str,
    typer.Option("--expires", metavar="WHEN", help="24h, 7d, 30d, 1y, an RFC 3339 timestamp, or clear."),
]
LabelFlag = Annotated[str, typer.Option("--label", metavar="TEXT", help="A name for people.")]
NewLabelFlag = Annotated[
    str | None, typer.Option("--label", metavar="TEXT", help="A name for people; an empty one removes it.")
]
HashFlag = Annotated[
    str,
    typer.Option(
        "--hash",
        metavar="HASH",
        help="The hash, or its first 8 characters or more.",
        autocompletion=completing.token_hashes,
    ),
]
ReplaceFlag = Annotated[bool, typer.Option("--replace", help="The policy given is the whole new policy.")]
MergeFlag = Annotated[
    bool, typer.Option("--merge", help="The policy given changes single fields (RFC 7386).")
]
DisableFlag = Annotated[bool, typer.Option("--disable", help="Refuse the token, and keep its record.")]
EnableFlag = Annotated[bool, typer.Option("--enable", help="Accept the token again.")]
ResetFlag = Annotated[
    bool, typer.Option("--reset-usage", help="Set what the token used to zero, in all its limits.")
]
OldFileFlag = Annotated[
    str, typer.Option("--old-file", metavar="PATH", help="The file that holds the old encryption secret.")
]
OldEnvFlag = Annotated[
    str, typer.Option("--old-env", metavar="NAME", help="The variable that holds the old encryption secret.")
]


@command(app, "create")
def create(
    invocation: Invocation,
    policy: PolicyFlag,
    expires: ExpiresFlag = "",
    label: LabelFlag = "",
    as_json: JsonFlag = False,
) -> None:
    """Create a token. It is shown once and stored nowhere.

    \b
    tokenomics-cli token create --policy @policy.json --expires 30d
    tokenomics-cli token create --policy '{"base_key_env":"OPENAI_API_KEY"}'
    """
    from tokenomics_core.policy import parse
    from tokenomics_core.tokens import CLEAR, hash_token, new_token

    now = datetime.now(UTC)
    text = _read_policy(policy)
    with _invalid_policy():
        parse(text)
        notes = _notes(text)
    expiry = _read_expiry(expires, now)
    if expiry is CLEAR:
        raise CommandError("'clear' takes an expiry away in token update; leave --expires out for no expiry")
    with invocation.store() as store:
        token = new_token(os.urandom)
        hash = hash_token(token, invocation.keys.hash_key)
        record = store.create(hash, text, now=now, expires=expiry, label=label)
    _tell(invocation, "token_created", [(hash, record.expires_text)])
    if as_json:
        print_json({"token": token, **summary(record, now), "warnings": notes})
        return
    _warn_all(notes)
    print("Token created successfully.")
    print("WARNING: This is the only time the token is shown. Keep it in a safe place.")
    print()
    print(f"  Token:   {token}")
    print(f"  Hash:    {hash}")
    if record.expires_text:
        print(f"  Expires: {record.expires_text}")
    if record.label:
        print(f"  Label:   {record.label}")
    print()


@command(app, "get")
def get(invocation: Invocation, hash: HashFlag, as_json: JsonFlag = False) -> None:
    """Show a token's record and its policy."""
    now = datetime.now(UTC)
    with invocation.existing_store() as store:
        full = _find(store, hash) if store else None
        record = store.get(full) if store and full else None
    if record is None:
        print("null" if as_json else "Token not found.")
        return
    document = json.loads(record.policy_text)
    if as_json:
        print_json({**summary(record, now), "policy": document})
        return
    print_head(record)
    status = "EXPIRED" if record.expired(now) else "active"
    print(f"Expires:    {record.expires_text} ({status})" if record.expires_text else "Expires:    never")
    print_state(record)
    print("Policy:")
    print_json(document)


@command(app, "list")
def list_tokens(invocation: Invocation, as_json: JsonFlag = False) -> None:
    """List all tokens."""
    now = datetime.now(UTC)
    with invocation.existing_store() as store:
        records = store.list() if store else []
    if as_json:
        print_json([{**summary(record, now), "policy": json.loads(record.policy_text)} for record in records])
        return
    if not records:
        print("No tokens found.")
    for record in records:
        print_head(record)
        if record.expires_text:
            print(f"Expires:    {record.expires_text} ({'EXPIRED' if record.expired(now) else 'active'})")
        print_state(record)
        print_policy(record)
        print("---")


@command(app, "update")
def update(
    invocation: Invocation,
    hash: HashFlag,
    policy: PolicyFlag = "",
    expires: NewExpiresFlag = "",
    label: NewLabelFlag = None,
    disable: DisableFlag = False,
    enable: EnableFlag = False,
    replace: ReplaceFlag = False,
    merge: MergeFlag = False,
    reset_usage: ResetFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Change a token: its policy, expiry, label, state or usage.

    A policy that is complete by itself replaces the old one; one that is not changes the fields it names, and
    null removes a field. --replace and --merge say which is meant.

    \b
    tokenomics-cli token update --hash 3f8592ba --policy '{"max_tokens":100000}'
    """
    from tokenomics_core.policy import describe_change, is_complete, merge_patch
    from tokenomics_core.tokens import CLEAR, TokenNotFound

    if not policy and not expires and label is None and not (disable or enable or reset_usage):
        raise CommandError(
            "must provide --policy and/or --expires, --label, --disable, --enable or --reset-usage"
        )
    if disable and enable:
        raise CommandError("--disable and --enable contradict each other; give one")
    if replace and merge:
        raise CommandError("--replace and --merge contradict each other; give one")
    expiry = _read_expiry(expires, datetime.now(UTC))
    text = _read_policy(policy) if policy else ""
    with _invalid_policy():
        whole = replace or (bool(text) and not merge and is_complete(text))
    before: list[TokenRecord] = []

    def edit(old: TokenRecord) -> str | None:
        before.append(old)
        return None if not text else text if whole else merge_patch(old.policy_text, text)

    with invocation.existing_store() as store:
        full = _find(store, hash) if store else None
        if store is None or full is None:
            raise _not_found("update", hash)
        try:
            with _invalid_policy():
                record = store.update(
                    full,
                    policy=edit,
                    expires=expiry,
                    label=label,
                    disabled=True if disable else False if enable else None,
                )
        except TokenNotFound:
            raise _not_found("update", hash) from None
    with _done_but("updated"):
        was_reset = token_usage.reset(invocation, record) if reset_usage else None
        token_usage.fill(invocation, before[0], record)
    given = "" if expiry is None else "clear" if expiry is CLEAR else record.expires_text
    _tell(invocation, "token_updated", [(full, given)])
    changes = describe_change(before[0].policy_text, record.policy_text)
    notes = _notes(record.policy_text) if text else []
    if as_json:
        listed = [
            {"path": change.path, "old": value(change.old), "new": value(change.new)} for change in changes
        ]
        told = {} if was_reset is None else {"reset_counters": was_reset}
        print_json({**summary(record, datetime.now(UTC)), "changes": listed, **told, "warnings": notes})
        return
    _warn_all(notes)
    print("Token updated.")
    for change in changes:
        print(f"  {change.path.removeprefix('$.')}: {shown(change.old)} -> {shown(change.new)}")
    if expiry is not None and before[0].expires_text != record.expires_text:
        new = "never" if expiry is CLEAR else record.expires_text
        print(f"  expires: {before[0].expires_text or 'never'} -> {new}")
    if before[0].label != record.label:
        print(f"  label: {before[0].label or '(none)'} -> {record.label or '(none)'}")
    if before[0].disabled != record.disabled:
        print("  disabled" if record.disabled else "  enabled")
    if was_reset is not None:
        print("  usage: reset to zero")


@command(app, "delete")
def delete(invocation: Invocation, hash: HashFlag, as_json: JsonFlag = False) -> None:
    """Delete a token. It is refused from the next request on."""
    from tokenomics_core.tokens import TokenNotFound

    with invocation.existing_store() as store:
        full = _find(store, hash) if store else None
        if store is None or full is None:
            raise _not_found("delete", hash)
        try:
            store.delete(full)
        except TokenNotFound:
            raise _not_found("delete", hash) from None
    with _done_but("deleted"):
        token_usage.forget(invocation, [full])
    _tell(invocation, "token_deleted", [(full,)])
    if as_json:
        print_json({"hash": full, "deleted": True})
    else:
        print("Token deleted.")


@command(app, "purge")
def purge(invocation: Invocation, as_json: JsonFlag = False) -> None:
    """Delete the records of all expired tokens."""
    with invocation.existing_store() as store:
        gone = store.purge(datetime.now(UTC)) if store else []
    with _done_but("purged"):
        token_usage.forget(invocation, gone)
    _tell(invocation, "token_deleted", [(hash,) for hash in gone])
    if as_json:
        print_json({"purged": gone})
        return
    for hash in gone:
        print(hash)
    print(f"Purged {counted(len(gone), 'expired token')}.")


@command(app, "rekey")
def rekey(
    invocation: Invocation, old_file: OldFileFlag = "", old_env: OldEnvFlag = "", as_json: JsonFlag = False
) -> None:
    """Encrypt all policies anew, with another secret.

    The new secret is the one that is configured now. A running server has to be restarted with it.
    """
    from dataclasses import replace

    from tokenomics_core.tokens import TokenStore

    if bool(old_file) == bool(old_env):
        raise CommandError("say where the old secret is, with either --old-file or --old-env")
    old = Path(old_file).read_bytes().strip() if old_file else os.environ.get(old_env, "").encode()
    if not old:
        raise CommandError(f"{old_file or '$' + old_env} is empty; it should hold the old encryption secret")
    path = invocation.config.storage.db_path
    if not path.exists():
        raise CommandError(f"there is no token database at {path}; name it with --db")
    keys = invocation.keys
    source = old_file or "$" + old_env
    store = TokenStore(path, replace(keys, encryption_secret=old, encryption_source=source))
    try:
        count = store.rekey(keys.encryption_secret)
    finally:
        store.close()
    if as_json:
        print_json({"rekeyed": count})
    else:
        print(f"Encrypted {counted(count, 'policy', 'policies')} with {keys.encryption_source}.")


def _tell(invocation: Invocation, kind: str, told: list[tuple[str, ...]]) -> None:
    """Webhooks hear of what happened to tokens."""
    if told and invocation.config.events.webhooks:
        # Only who has webhooks pays for them.
        from tokenomics_cli.events import announce
        from tokenomics_core.events import types

        announce(invocation, *(getattr(types, kind)(*about) for about in told))


def _read_policy(given: str) -> str:
    """The policy's text; a leading @ names a file."""
    if not given.startswith("@"):
        return given
    try:
        raw = sys.stdin.buffer.read() if given == "@-" else Path(given[1:]).expanduser().read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"policy file {given[1:]}: {error.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise CommandError(f"policy file {given[1:]} is not UTF-8; save it as UTF-8") from None


def _read_expiry(text: str, now: datetime) -> Expiry | None:
    from tokenomics_core.tokens import parse_expiry

    return parse_expiry(text, now)


@contextmanager
def _invalid_policy() -> Iterator[None]:
    from tokenomics_core.policy import PolicyError

    try:
        yield
    except PolicyError as error:
        raise CommandError(
            f"invalid policy: {error}", *([f"at {error.path}"] if error.path else [])
        ) from None


@contextmanager
def _done_but(verb: str) -> Iterator[None]:
    """Around what happens to counters and ledger after the token store has changed."""
    from tokenomics_core.counters import CountersUnavailable
    from tokenomics_core.ledger import LedgerError

    try:
        yield
    except (CountersUnavailable, LedgerError) as error:
        raise CommandError(f"{verb}, but what was used stays as it was: {error}") from None


def _notes(policy_text: str) -> list[str]:
    """What the policy says without effect, one line each."""
    from tokenomics_core.policy import warnings

    return [f"{warning.path}: {warning.message}" for warning in warnings(policy_text)]


def _warn_all(notes: list[str]) -> None:
    for note in notes:
        warn(note)


def _find(store: TokenStore, given: str) -> str | None:
    """The full hash that was meant; None when no token has it."""
    from tokenomics_core.tokens import looks_like_token

    wanted = given.strip().lower()
    if looks_like_token(wanted):
        raise CommandError("--hash takes the hash that token create printed, not the token")
    if len(wanted) < 8:
        raise CommandError("--hash needs the whole hash, or at least 8 characters of its beginning")
    found = store.hashes(wanted) if set(wanted) <= set("0123456789abcdef") else []
    if len(found) > 1:
        raise CommandError(f"{len(found)} tokens begin with {wanted}; give more characters of the hash")
    return found[0] if found else None


def _not_found(verb: str, hash: str) -> CommandError:
    return CommandError(f"{verb} token: {hash[:64]}: token not found; token list shows the hashes")
