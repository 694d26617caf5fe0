"""What mitmproxy touches: one addon per concern, thin, in the order that tokenomics.py lists."""
