"""The HTTP API: records intents and reads; it changes no machine."""
