"""The wire formats the fake provider speaks, one file each."""
