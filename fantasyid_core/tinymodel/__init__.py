"""The small networks of FantasyID-Tiny, trained from nothing on drawn people (`people`).

Read in this order: `vae` (pictures -> latents and back), `basis` (its linear beginning), `text` and `words` (prompts ->
tokens), `face` (reference picture -> features), `models` (all of them, and the VAE as the trainer's codec), `weights`
(their files); then how the VAE is trained and judged: `settings`, `muon`, `train_vae`, `scores`, `sheet`.
"""
