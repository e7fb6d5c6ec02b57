"""The steps of provisioning, one idea per file: each looks first, acts on a difference, and confirms the effect."""
