"""One picture of top, from what was read."""

from __future__ import annotations

from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tokenomics_cli.top_view import Item, View
from tokenomics_cli.usage_text import bar

KEYS = "up/down choose   f freeze for 1h   u unfreeze   q quit"


def frame(
    view: View, *, chosen: int | None = None, rows: int = 1000, columns: int = 300, message: str = ""
) -> RenderableType:
    """chosen: the item under the cursor, None without one. rows, columns: of the screen."""
    parts: list[RenderableType] = [Text(line) for line in _head(view)]
    # What is above and below the items: head, two table heads, refusals, keys.
    room = max(3, rows - 20)
    first = max(0, min((chosen or 0) - room // 2, len(view.items) - room))
    parts.append(_items(view.items, first, room, chosen, wide=columns >= 100))
    hidden = len(view.items) - room
    if hidden > 0:
        parts.append(Text(f"  {hidden} more", style="dim"))
    parts.append(_refusals(view))
    if view.trouble:
        parts.append(Text(view.trouble, style="yellow"))
    if message:
        parts.append(Text(message, style="bold"))
    if chosen is not None:
        parts.append(Text(KEYS, style="dim"))
    return Group(*parts)


def _head(view: View) -> list[str]:
    where = f"{view.url} (version {view.version})" if view.url else "no gateway runs at the configured ports"
    totals = view.totals
    lines = [f"Tokenomics  {where}  {view.at:%H:%M:%S} UTC"]
    opened = "-" if view.open is None else str(view.open)
    rate = view.rate
    lines.append(
        f"Open {opened}   Last minute: {rate.requests} requests, {rate.tokens_per_second:.1f} tokens/s,"
        f" ${rate.cost:.4f}"
    )
    if totals:
        lines.append(
            f"Since the start: {totals.get('request_count', 0)} requests,"
            f" {totals.get('total_tokens', 0):,} tokens, ${float(totals.get('cost_usd', 0)):.4f},"
            f" {totals.get('error_count', 0)} errors"
        )
    return lines


def _items(items: list[Item], first: int, room: int, chosen: int | None, *, wide: bool) -> RenderableType:
    if not items:
        return Text("No tokens yet; token create makes one.")
    label, session = (20, 32) if wide else (10, 16)
    table = Table(box=None, padding=(0, 1, 0, 0), expand=False)
    table.add_column("", no_wrap=True, min_width=1)
    for title in ("Token", "Session"):
        table.add_column(title, no_wrap=True)
    for title in ("1 min", "Spent", "Budget"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for index, item in enumerate(items[first : first + room], first):
        here = index == chosen
        # Text: what stands in a name is no markup.
        table.add_row(
            ">" if here else "",
            Text(f"{item.token[:8]} {_cut(item.label, label)}".strip()),
            Text(_cut(item.session, session)),
            str(item.recent or "-"),
            _money(item.spent),
            bar(item.used),
            Text("FROZEN" if item.freeze else "", style="bold red"),
            style="reverse" if here else "",
        )
    return table


def _refusals(view: View) -> RenderableType:
    if not view.refusals:
        return Text("No refusals.", style="dim")
    table = Table(box=None, padding=(0, 1))
    for title in ("Last refusals", "Token", "Session", "Model", "Reason"):
        table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=28)
    for row in view.refusals:
        cells = (row.token_hash[:8], row.session_id, row.requested_model, row.refusal)
        table.add_row(f"{row.ended_at:%H:%M:%S}", *(Text(_plain(cell)) for cell in cells))
    return table


def _money(nano: int) -> str:
    if not nano:
        return "-"
    return f"${Decimal(nano).scaleb(-9):.4f}" if nano >= 50_000 else "<$0.0001"


def _cut(text: str, most: int) -> str:
    text = _plain(text)
    return text if len(text) <= most else text[: most - 2] + ".."


def _plain(text: str) -> str:
    """Clients choose these: nothing in them may move a cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)
