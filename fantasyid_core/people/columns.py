"""The plain arrays that the compiled loops receive: the names of their columns, in order."""

from __future__ import annotations

# One row per frame. Angles in degrees; mouth_open .. blink 0..1; gaze -1..1; shift in picture sides.
FRAME = (
    "yaw", "pitch", "roll", "mouth_open", "smile", "brows_up", "blink", "gaze_x", "gaze_y",
    "light_turn", "light_rise", "light_power", "zoom", "shift_x", "shift_y",
)  # fmt: skip
(
    YAW, PITCH, ROLL, MOUTH_OPEN, SMILE, BROWS_UP, BLINK, GAZE_X, GAZE_Y,
    LIGHT_TURN, LIGHT_RISE, LIGHT_POWER, ZOOM, SHIFT_X, SHIFT_Y,
) = range(len(FRAME))  # fmt: skip

# Colours of a person and of the light, linear RGB.
SKIN, FLUSH, LIPS, IRIS, BROW, HAIR, GLASSES, CLOTHES, TRIM, LIGHT = range(10)
COLOUR_COUNT = 10

# Traits of a person's looks.
TRAITS = (
    "blush", "freckles", "lines", "brow_thickness", "brow_arch", "eye_openness", "lashes", "beard", "scalp", "curl",
    "collar", "strands", "shine",
)  # fmt: skip
(
    BLUSH, FRECKLES, LINES, BROW_THICKNESS, BROW_ARCH, EYE_OPENNESS, LASHES, BEARD, SCALP, CURL,
    COLLAR, STRANDS, SHINE,
) = range(len(TRAITS))  # fmt: skip

# Attributes of the vertices, interpolated within triangles; hair uses the first two for its strands.
AT_X, AT_Y, AT_Z, AT_HAIRLINE, AT_OCCLUSION, AT_BEARD, AT_FLUSH = range(7)
ATTRIBUTE_COUNT = 7

# Kinds of triangles.
HEAD, SHELL, CURTAIN, FRAMES, GARMENT = range(5)  # hair: over the scalp, and hanging, which is seen from both sides

LAYERS = ("background", "skin", "hair", "brows", "eyes", "lips", "mouth", "glasses", "clothes")
"""What is seen in a pixel of the layer map."""
L_BACKGROUND, L_SKIN, L_HAIR, L_BROWS, L_EYES, L_LIPS, L_MOUTH, L_GLASSES, L_CLOTHES = range(9)
