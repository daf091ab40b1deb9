"""The project's own average head: `surface` (how it is sculpted), `mesh` (its fixed topology, built once by `build_topology`)."""
