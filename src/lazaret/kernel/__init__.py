"""What every room may use: clock, errors, database, settings, logging, metrics, secrets. No domain word inside."""
