"""The steps of a recovery, one verb each."""
