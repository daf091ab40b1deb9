"""Changing a 3D face: the sliders (`controls`), their state (`editstate`), `edit`, `blend`, and `warp` (the picture follows)."""
