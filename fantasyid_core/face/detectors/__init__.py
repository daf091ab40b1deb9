"""Finding faces: `detect` chooses a detector and asks it; `search` looks at several sizes and tiles for those that need it."""
