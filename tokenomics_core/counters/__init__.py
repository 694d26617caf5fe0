"""The counters: what was used and what is reserved, of every limit of every token."""
