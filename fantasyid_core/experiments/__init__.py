"""How FantasyID-Tiny is made and judged: everything here runs once for a release of the small model, never for a user.

Making: `train_vae` (from the linear beginning in `basis`), `train_encoders`, `train_portraits`, then `train tiny`, and
`package`. Making it sharper: `train_reading` (`readout`, `portrait_pairs`, `teaching`), `train_sharper` (`clip_pairs`,
`sharper_loss`), `snapshot`. Judging: `codec_scores`, `score_model` and its `report`, `score_details`, the `ablations`
and `table3`. `train_probe` makes the instrument that reads pictures.
"""
