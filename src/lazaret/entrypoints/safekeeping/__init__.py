"""Backup and restore: what is kept, how the file is laid out, and what a restored machine may not do by itself."""
