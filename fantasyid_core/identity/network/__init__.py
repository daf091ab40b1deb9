"""The networks of the method, one family per file; `fantasyid_core.identity` tells which step of the paper each one is."""
