"""Procedural people: heads, faces, motions and their pictures, without any licensed data.

Read in this order: `surface` (the sculpted average head), `mesh` and `regions` (the fixed topology; built once by
`build_topology`), `shape` and `expression` (how vertices move), `hair` and `wearing` (what surrounds the head),
`appearance`, `scene` (one person as one mesh), `motion`, `backdrop`, `prompts`, `person` (who there is, by seed),
`looks` (their looks as numbers, and twins in looks),
`columns` and the `*_kernels` (the compiled renderer), `render` (pictures and their ground truth), `clips`.

    clip = make_clip(seed=7)                    # pictures [9,64,64,3], references, prompt, vertices
    clips = make_clips(training_seeds(1000))    # in parallel
    wide = sample_person(7).edited(face_width=1.0)
    pictures = render_frames(wide, Motion("turn left", "smile").frames(9), Backdrop("blue"), size=256)

V vertices of the head, K shape parameters, T frames, S the side of a picture, R references. Vertices are metres, x to
the right of the picture, y up, z to the camera; left and right are always those of the picture. Tables in these files
are millimetres. Yaw, pitch and roll are degrees and positive when the nose turns to the right, the nose goes down and
the head leans clockwise, as in `face.pose.head_pose`.
"""
