"""The words that users choose among, in nodes, commands and Python alike. Imports nothing.

The first word of a list is its default. Workflows store these words, so none is ever renamed.
"""

DETECTORS = AUTO, *NAMED_DETECTORS, NO_DETECTOR = ("auto", "insightface", "yunet", "retinaface", "mediapipe", "none")
"""What looks for faces; `none` is for points that the user gives, or the square in the middle."""
FORMER_DETECTORS = {"cascade": "mediapipe"}
"""Words that workflows and settings may still hold -> what is taken in their place."""

FACE_ORDERS = LARGEST, MOST_CENTRAL, LEFT_TO_RIGHT, MOST_ALIKE = (
    "largest",
    "most central",
    "left to right",
    "most alike",
)
"""Which of several faces is meant."""

BORDERS = GREY, EXTENDED = "grey", "extended"
"""What the first picture shows where the crop reaches beyond the photo."""
JOINS = AVERAGE, CONCATENATE = "average", "concatenate"
"""How the identity tokens of several photos become one set."""

POSES = NEUTRAL, PHOTOGRAPHED = "neutral", "as photographed"
"""Of a 3D face that is made from a photo."""

RECONSTRUCTIONS = AUTO, DECA, BY_LANDMARKS, TEMPLATE_HEAD = ("auto", "deca", "landmarks", "template")
"""What makes a 3D face from a photo; auto is deca when its files are there, else landmarks."""
DECA_VIEWS = LANDMARKS, WHOLE_PICTURE = "landmarks", "whole picture"
"""What DECA sees of the photo."""

PLACES = EVERYWHERE, SIDE_BY_SIDE = "everywhere", "side by side"
"""Where in the video a person shows, without a mask."""

SOLVERS = DPM, DDIM = "dpm", "ddim"

OFFLOADS = "none", "model", "sequential"
"""What leaves the GPU while it does not work: nothing, whole networks, or every layer."""

PARALLELS = ROWS, GUIDANCE, SEQUENCE, BOTH = "rows", "guidance", "sequence", "both"
"""What several processes share out: the videos, or one video's halves of guidance, its tokens, or both."""

STORAGES = "same", "fp8"
"""How the transformer's matrices are stored while it samples: as they compute, or in 8 bits."""

ATTENTIONS = NATIVE, *NAMED_ATTENTIONS = (
    "native",
    "native-math",
    "native-flash",
    "native-efficient",
    "native-cudnn",
    "flex",
    "flash",
    "flash-3",
    "sage",
    "xformers",
)
"""What computes attention: PyTorch's own choice, one of its kernels, or a package; the first three also on a CPU."""

CACHES = EXACT, BALANCED, FAST, *NAMED_CACHES = (
    "exact",
    "balanced",
    "fast",
    "first-block",
    "faster",
    "pyramid",
    "taylor",
    "mag",
)
"""What sampling takes over from earlier steps: nothing, a little, more; or one mechanism by its name."""

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp8_e4m3fn": "float8_e4m3fn"}
"""Precision -> its name in torch."""

COMPUTING = "bf16", "fp16", "fp32"
"""Precisions in which networks compute; the others only store weights."""

STORED = "bf16", "fp16", "fp8_e4m3fn"
"""Precisions in which `convert` stores weights."""

SHAPE_FILES = ".ply", ".obj", ".glb", ".npy"
"""Formats in which 3D faces are saved."""

TEXT_DETECTORS = "auto", "easyocr", "opencv", "none"
"""What looks for subtitles in training videos."""

VIEW_SOURCES = "clip", "video"
"""Where the multi-view references of a training clip come from."""

SHAPE_SOURCES = "auto", "sidecar", "none"
"""Where the 3D faces of training clips come from."""
