"""The command line. It records intents and reads; `up`, `api` and `worker` run the processes."""
