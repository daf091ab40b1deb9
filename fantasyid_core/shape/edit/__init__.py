"""Changing a 3D face: sliders (`controls`), their state (`editstate`), `edit`, `blend`, `warp` (of the picture)."""
