"""Pictures of a 3D face: `raster` (triangles to pixels), `shading`, `drawing`, `present` (what the nodes show)."""
