"""The networks of the method, one family per file; `fantasyid_core.identity` names the step of the paper."""
