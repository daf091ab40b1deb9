"""Mesh levels that networks pool over: `topology` (files, matrices), `spiral`, `simplify`, `meshtopology` (new)."""
