"""Procedural people: heads, faces, motions and their pictures, without any licensed data.

The sculpted average head and its mesh are in `shape.ownhead`. Read in this order: `surface_regions` (names for parts of
the mesh), `headshape` and `expression` (how vertices move), `hair` and `wearing` (what surrounds the head),
`appearance`, `scene` (one person as one mesh), `motion`, `backdrop`, `prompts`, `person` (the person of a seed),
`looks` (looks as numbers, and twins who differ in looks), `columns` and the `*_kernels` (the compiled renderer),
`render` (pictures and their ground truth), `clips`, `portrait`. `instruments` measures videos of these people.

    clip = make_clip(seed=7)                    # pictures [9,64,64,3], references, prompt, vertices
    clips = make_clips(training_seeds(1000))    # in parallel
    wide = sample_person(7).edited(face_width=1.0)
    pictures = render_frames(wide, Motion("turn left", "smile").frames(9), Backdrop("blue"), size=256)

V vertices of the head, K shape parameters, T frames, S the side of a picture, R references. Vertices are metres, x to
the right of the picture, y up, z to the camera; left and right are always those of the picture. Tables in these files
are millimetres. Yaw, pitch and roll are degrees and positive when the nose turns to the right, the nose goes down and
the head leans clockwise, as in `face.pose.head_pose`.
"""
