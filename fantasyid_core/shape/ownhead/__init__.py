"""The project's own average head: `surface` (its form) and `mesh` (its triangles, made by `build_topology`)."""
