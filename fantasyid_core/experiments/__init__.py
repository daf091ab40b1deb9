"""The training and the evaluation of FantasyID-Tiny. Its makers run this once for a release; users never need it.

To train the model, run `train_vae` (which begins with the components of `basis`), `train_encoders`, `train_portraits`,
`train tiny`, and `package`. A second training makes it sharper: `train_reading` (with `readout`, `portrait_pairs` and
`teaching`), `train_sharper` (with `clip_pairs` and `sharper_loss`), and `snapshot`. To evaluate it, run `codec_scores`,
`score_model` (with `report`), `score_details`, `ablations` and `table3`. `train_probe` trains the probe, the network
that reads pictures. `seams` measures longer videos. `full_size` measures main memory at the released model's size.
"""
