"""Guard: what must not leave, and what must not come back."""
