"""Training of FantasyID: `config`, `models` and `sources` (the inputs), `loop` (the run), `state` (the checkpoints).

    python -m fantasyid_core train CONFIG [--resume auto|PATH|none] [key=value ...]

The loss is derived in `objective`, and the network that is trained is `denoiser`. `people_source` gives clips of drawn
people.
"""
