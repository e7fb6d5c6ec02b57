"""Lazaret keeps a fleet of rented VPS set up, watched and healed."""

__version__ = "0.1.0"
