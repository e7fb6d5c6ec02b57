"""Stand-ins for what Lazaret speaks to, behind the same Protocols, with a memory of what was asked of them."""
