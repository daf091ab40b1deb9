"""The small networks of FantasyID-Tiny, trained from scratch on the drawn people of `people` (see `experiments`).

Read in this order: `vae` (pictures -> latents and back), `text` and `words` (prompts -> tokens), `face` and `gridface`
(reference picture -> features, an older and a newer one), `models` (all of them, and the VAE as the trainer's codec),
`loading` (their files), `sampler` (videos without a host).
"""
