"""Training of FantasyID: `config`, `models` and `sources` (what with), `loop` (the run), `state` (what it keeps).

    python -m fantasyid_core train CONFIG [--resume auto|PATH|none] [key=value ...]

The loss is derived in `objective`, and the network that is trained is `denoiser`. `people_source` gives clips of drawn
people.
"""
