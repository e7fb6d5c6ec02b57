"""The lab: a local cloud with a Time4VPS-compatible API over real or simulated Debian hosts.

Serves the demo, the tests, the benchmarks and a user who rehearses a disaster. Knows nothing of Lazaret's tables.
"""
