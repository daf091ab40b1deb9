"""Reading and writing files that anybody may have made: checkpoints, key names, pickles, and writing aside.

`checkpoint` (one reader for folders, safetensors, pickles and state dicts), `keymaps` (official names and ours),
`unpickle` and `unpickle_torch` (pickles whose code never runs), `filekind` and `wrongfile` (what a wrong file looks
like), `writing` (a failure never costs the old file).
"""
