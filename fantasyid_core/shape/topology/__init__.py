"""The mesh levels that the networks pool over: `topology` (files, matrices), `spiral`, `simplify`, `meshtopology` (made anew)."""
