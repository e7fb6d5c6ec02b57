"""`lazaret doctor`: small checks, each finding with its cure. It looks, and changes nothing."""
