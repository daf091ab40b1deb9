"""How FantasyID-Tiny is made and judged: everything here runs once for a release of the small model, never for a user.

Making: `train_vae` (from the linear beginning in `basis`), `train_encoders`, `train_portraits`, then `train tiny`, and
`package`. Judging: `codec_scores`, `score_model` and its `report`, the `ablations` and `table3`. `train_probe` makes the
instrument that reads pictures.
"""
