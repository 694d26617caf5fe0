"""The ledger: what is kept of every request, on disk."""

from tokenomics_core.ledger.database import LedgerError, read_rows
from tokenomics_core.ledger.ledger import Ledger, LedgerFull
from tokenomics_core.ledger.row import UPSTREAM_HEADERS, Kind, Row, timestamp

__all__ = ["UPSTREAM_HEADERS", "Kind", "Ledger", "LedgerError", "LedgerFull", "Row", "read_rows", "timestamp"]
