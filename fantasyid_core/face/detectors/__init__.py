"""Face detectors: `detect` chooses one and runs it; `search` runs a network at several sizes of the picture."""
