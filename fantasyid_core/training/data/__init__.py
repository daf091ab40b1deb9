"""Cuts videos of faces into clips for training: `python -m fantasyid_core prepare VIDEOS OUT`.

Read in this order: `settings`, `finding` (which videos), `tools` (detector and further networks), `reading` (frames
at the model's rate), `face.cuts` (scenes), `tracking` (one face through a clip), `filters` (what is good enough),
`views` (the multi-view set), `shapes`, `text` (subtitles), `video` (all of it for one video), `state` (what a killed
run leaves), `captions`, `index` (the parquet files that `training.index_source` reads), `sheets`, `report`, `run`.
"""
