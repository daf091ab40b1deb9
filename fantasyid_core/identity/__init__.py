"""The method of FantasyID (arXiv 2502.13995, section 3): a face and its 3D shape become part of every block.

    crop -> ViT -> vit_feats [B,577,1024] -> C-Abstractor -> X_I, 36 face tokens ─┐
                                                                                  ├> fusion -> ResConv1D -> id_tokens
    vertices [B,5023,3] -> vertex encoder -> X_V, vertex tokens, + depth code ────┘                         │
                                                                                                            v
    block l of CogVideoX:   Z_l <- Z_l + F_l(Attention_l(Q = Z_l, K, V = id_tokens)),   own weights in every layer

    step (paper)                           release: the published weights                paper: what it describes
    2D tokens X_I: C-Abstractor (3.2)      `network.abstractor`                          `network.abstractor`
    3D tokens X_V: vertex encoder (3.2)    `network.depth_vertices`: the depth alone     `network.spiral_vertices`: xyz
    depth code E_dep (3.2)                 `network.depth_vertices`                      `network.spiral_vertices`
    fusion transformer, L = 6 (3.2)        `network.fusion`: only X_V goes on            `network.fusion`: both go on
    ResConv1D reducer (3.2)                `network.reducer`: 79 vertex tokens           `network.reducer`: DiT width
    all of the identity branch (3.2)       `network.release.ReleaseEncoder`              `network.paper.PaperEncoder`
    layer-aware attention (3.3)            `network.attention`                           `network.attention`
    F_l, convolution and norm (3.3)        absent                                        `network.frame_filter`

    in code:   id_tokens = adapter.encode(vit_feats, vertices)        once per person          `adapter`
               injector = adapter.injector(id_tokens, strength)       K and V once per run     `injector`
               hidden = injector.add(layer, hidden)                   after each block         `folded`, `kept`, `fixed`

The identity tokens depend neither on the timestep nor on the half of classifier-free guidance; therefore everything up
to K and V is computed once, and `folded` moves them into the projections, which is exact. Where the released weights
depend on an oddity, the file of that step says so. `network/paper_variant.md` lists what the paper leaves open.

ConsisID, the nearest relative, comes through the same door: `network.consisid` makes its tokens from the photo alone,
and its cross attention is `network.attention`.

`steering` holds what an artist sets (when, where, how strongly, in which layers), which is not part of the paper.
`identityfile` saves encoded people in files, and `fingerprint` tells adapters apart.
"""
