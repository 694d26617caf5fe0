"""tokenomics-cli ledger: the list of its commands."""

from __future__ import annotations

from tokenomics_cli.command import command, new_group
from tokenomics_cli.ledger_cost import cost
from tokenomics_cli.ledger_explain import explain
from tokenomics_cli.ledger_export import export
from tokenomics_cli.ledger_sessions import sessions, show
from tokenomics_cli.ledger_summary import summary, top
from tokenomics_cli.ledger_verify import verify

app = new_group("The record of every request: what it came to, and whether the counters agree.")

for _command in (summary, top, cost, sessions, show, explain, export, verify):
    command(app, _command.__name__)(_command)
