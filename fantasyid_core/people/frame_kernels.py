"""One clip's pictures: pose, rasterise, paint, light, and average the samples of every pixel."""

from __future__ import annotations

from math import cos, pi, sin, sqrt

import numpy as np

from . import columns as col
from .compiling import compiled, compiled_once, inlined, sources_digest
from .paint_kernels import edge, hump, is_detailed, over, paint_head, ramp, wave
from .raster_kernels import pose_vertices, rasterise, vertex_normals

EDGE = 0.9  # width of painted edges in pixels
CARRIED = 3 + col.ATTRIBUTE_COUNT  # numbers per vertex: its normal and its attributes
KEEP, FORGET = np.float32(1), np.float32(0)
SMOOTH_STEP = 9.0  # millimetres in depth within a pixel that are no edge


@compiled
def light_of(frame):
    """Direction to the light, unit: turn to the right of the picture and rise, in degrees, from the camera."""
    turn, rise = frame[col.LIGHT_TURN] * pi / 180, frame[col.LIGHT_RISE] * pi / 180
    return cos(rise) * sin(turn), sin(rise), cos(rise) * cos(turn)


@inlined
def lit(r, g, b, gloss, soft, shade, nx, ny, nz, frame, colours, lx, ly, lz):
    """Light on a surface of this colour. soft: how far it reaches around (skin); shade: 0..1, how open the place is."""
    facing = nx * lx + ny * ly + nz * lz
    power = frame[col.LIGHT_POWER]
    key_r = 0.74 * max((facing + soft) / (1.0 + soft), 0.0) * power
    key = 0.74 * max((facing + 0.72 * soft) / (1.0 + 0.72 * soft), 0.0) * power
    sky = (0.25 + 0.11 * ny + 0.07 * nz) * shade
    warm = 1.0 + 0.35 * soft  # light that has been under the skin
    rim = max(1.0 - nz, 0.0) ** 3 * 0.16 * shade
    open_ = 0.35 + 0.65 * shade
    # halfway between the light and the camera
    hx, hy, hz = lx, ly, lz + 1.0
    half = max((nx * hx + ny * hy + nz * hz) / sqrt(hx * hx + hy * hy + hz * hz), 0.0)
    shine = half * half
    shine *= shine
    shine *= shine
    shine = shine * shine * gloss * power * shade
    return (
        r * (sky * warm + rim + colours[col.LIGHT, 0] * key_r * open_) + shine * colours[col.LIGHT, 0],
        g * (sky + rim + colours[col.LIGHT, 1] * key * open_) + shine * colours[col.LIGHT, 1],
        b * (sky + rim + colours[col.LIGHT, 2] * key * open_) + shine * colours[col.LIGHT, 2],
    )


@inlined
def paint_hair(turn, along, inner, colours, traits, blur):
    """Strands run down from the crown: lighter and darker streaks, as far as the picture can show them, and a band of
    shine around the head."""
    curl, seed = traits[col.CURL], traits[col.STRANDS]
    tone = 1.0
    if curl > 0.0:
        tone += 0.16 * curl * wave(9.0 * turn + along * 0.09 + seed) * wave(7.0 * turn - along * 0.08)
        turn += curl * 0.10 * wave(along * 0.11 + 3.0 * turn)
    streak = wave(53.0 * turn + seed) * wave(19.0 * turn + 2.0 * seed) * max(1.0 - blur / 9.0, 0.0)
    if blur < 4.0:
        streak += 0.5 * wave(131.0 * turn + 0.02 * along) * (1.0 - blur / 4.0)
    tone += 0.11 * streak * (1.0 - 0.5 * curl)
    band = (along - 58.0 - 7.0 * wave(5.0 * turn + seed)) / 22.0
    shine = traits[col.SHINE] * hump(band) * (0.6 + 0.4 * streak) * (1.0 - 0.6 * curl)
    if inner:
        tone *= 0.42
        shine = 0.0
    r, g, b = colours[col.HAIR, 0], colours[col.HAIR, 1], colours[col.HAIR, 2]
    tone, shine = tone + 0.7 * shine, 0.035 * shine
    return r * tone + shine, g * tone + shine, b * tone + shine


@inlined
def paint_garment(x, y, z, colours, traits, blur):
    """Cloth with a collar: 0 round, 1 pointed with skin in it, 2 high, 3 striped; and whether it is skin."""
    collar, bare = traits[col.COLLAR], False
    r, g, b = colours[col.CLOTHES, 0], colours[col.CLOTHES, 1], colours[col.CLOTHES, 2]
    if collar == 0.0:
        r, g, b = over(r, g, b, colours[col.TRIM], 1.0, edge(y + 149.0, blur + 1.0))
    elif collar == 1.0 and z > 0.0:
        beside = abs(x) - 0.95 * (y + 196.0)  # of the slanting edge of the collar
        r, g, b = over(r, g, b, colours[col.TRIM], 1.0, edge(3.0 - abs(beside - 4.0), blur + 1.0))
        r, g, b = over(r, g, b, colours[col.SKIN], 1.0, edge(-beside, blur + 1.0))
        bare = beside < 0.0
    elif collar == 3.0:
        stripe = 4.0 - 18.0 * abs((0.055 * y + 100.0) % 1.0 - 0.5)
        r, g, b = over(r, g, b, colours[col.TRIM], 1.0, edge(stripe, blur + 1.0))
    return r, g, b, bare


@inlined
def gather(n, u, v, surfaces, kept, found):
    """What triangle n has at the shares u, v of its second and third corner: normal, then attributes; added to
    `kept` times what was found before."""
    carried, faces, _ = surfaces
    p, q, k = faces[n, 0], faces[n, 1], faces[n, 2]
    w = np.float32(1.0) - u - v
    for c in range(CARRIED):
        found[c] = kept * found[c] + w * carried[p, c] + u * carried[q, c] + v * carried[k, c]


@compiled
def shade(kind, found, look, blur):
    """Colour and layer of a place of this kind, from what `gather` found."""
    frame, colours, traits, light = look
    nx, ny, nz = found[0], found[1], found[2]
    length = 1.0 / max(sqrt(nx * nx + ny * ny + nz * nz), 1e-9)
    nx, ny, nz = nx * length, ny * length, nz * length
    x, y, z = found[3 + col.AT_X], found[3 + col.AT_Y], found[3 + col.AT_Z]
    soft, gloss, open_ = 0.15, 0.0, 1.0
    if kind == col.HEAD:
        open_ = 1.0 - found[3 + col.AT_OCCLUSION]
        hairline, beard, flush = found[3 + col.AT_HAIRLINE], found[3 + col.AT_BEARD], found[3 + col.AT_FLUSH]
        r, g, b, gloss, layer = paint_head(x, y, z, hairline, beard, flush, frame, colours, traits, blur)
        soft = 0.55
    elif kind == col.SHELL or kind == col.CURTAIN:
        inner = nz < -0.2  # seen from within; at the outline the normal may lean back a little
        if inner:
            nx, ny, nz = -nx, -ny, -nz
        r, g, b = paint_hair(x, y, inner, colours, traits, blur)
        soft, layer = 0.35, col.L_HAIR
        open_ = 0.5 if inner else 1.0
    elif kind == col.FRAMES:
        r, g, b = colours[col.GLASSES, 0], colours[col.GLASSES, 1], colours[col.GLASSES, 2]
        gloss, layer = 0.35, col.L_GLASSES
    else:
        r, g, b, bare = paint_garment(x, y, z, colours, traits, blur)
        open_ = 0.45 + 0.55 * ramp(sqrt(x * x + (z + 15.0) ** 2), 62.0, 105.0)
        layer = col.L_SKIN if bare else col.L_CLOTHES
        soft = 0.25
    r, g, b = lit(r, g, b, gloss, soft, open_, nx, ny, nz, frame, colours, light[0], light[1], light[2])
    return r, g, b, layer


@inlined
def is_plain(row, column, samples, view, surfaces):
    """Whether all samples of a pixel, the first at row, column, show one smooth thing without fine detail."""
    depth, seen, _ = view
    carried, faces, kinds = surfaces
    first = seen[row, column]
    if first < 0:
        return False
    kind, near = kinds[first], depth[row, column]
    for j in range(samples):
        for i in range(samples):
            n = seen[row + j, column + i]
            if n < 0 or kinds[n] != kind or abs(depth[row + j, column + i] - near) > SMOOTH_STEP:
                return False
    if kind == col.HEAD:
        corner = faces[first, 0]
        x, y, z = carried[corner, 3 + col.AT_X], carried[corner, 3 + col.AT_Y], carried[corner, 3 + col.AT_Z]
        return not is_detailed(abs(x), y, z)
    return kind == col.SHELL or kind == col.CURTAIN


@inlined
def pixel(y, x, samples, view, surfaces, look, behind, blur, found):
    """Colour of the pixel whose first sample is y, x, as the display shows it, 0..1."""
    _, seen, shares = view
    kinds = surfaces[2]
    if is_plain(y, x, samples, view, surfaces):
        # shaded once, in the pixel's middle: halfway between the first and the last sample
        gather(seen[y, x], shares[y, x, 0], shares[y, x, 1], surfaces, FORGET, found)
        j, i = y + samples - 1, x + samples - 1
        gather(seen[j, i], shares[j, i, 0], shares[j, i, 1], surfaces, KEEP, found)
        for c in range(CARRIED):
            found[c] *= np.float32(0.5)
        r, g, b, _ = shade(kinds[seen[y, x]], found, look, blur)
        return shown(r), shown(g), shown(b)
    red, green, blue = 0.0, 0.0, 0.0
    for j in range(samples):
        for i in range(samples):
            n = seen[y + j, x + i]
            if n < 0:
                red, green, blue = red + behind[0], green + behind[1], blue + behind[2]
            else:
                gather(n, shares[y + j, x + i, 0], shares[y + j, x + i, 1], surfaces, FORGET, found)
                r, g, b, _ = shade(kinds[n], found, look, blur / samples)
                red, green, blue = red + shown(r), green + shown(g), blue + shown(b)
    share = 1.0 / (samples * samples)
    return red * share, green * share, blue * share


@inlined
def shown(light):
    """A root stands in for the display's curve; samples are averaged as they are seen."""
    return sqrt(min(light, 1.0))


def workspace(scene, side: int) -> tuple[np.ndarray, ...]:
    """Memory for one call: posed vertices, sums of their normals, what they carry, areas of the faces, one place's
    share of what is carried; and the depth, triangle and shares of side x side samples."""
    count = len(scene.neutral)
    posed, sums, carried = (np.zeros((count, width), np.float32) for width in (3, 3, CARRIED))
    carried[:, 3:] = scene.attributes
    areas, found = np.empty(len(scene.faces), np.float32), np.zeros(CARRIED, np.float32)
    depth, seen = np.empty((side, side), np.float32), np.empty((side, side), np.int32)
    return posed, sums, carried, areas, found, depth, seen, np.empty((side, side, 2), np.float32)


@compiled
def _render(scene, paint, frames, backdrop, samples, space, pictures):
    """Pictures uint8 [T,S,S,3] of frames [T,columns] before a backdrop [S,S,3] (0..1)."""
    neutral, expression, follow, _, faces, kinds = scene
    colours, traits = paint
    posed, sums, carried, areas, found, depth, seen, shares = space
    size = pictures.shape[1]
    view, surfaces = (depth, seen, shares), (carried, faces, kinds)
    for t in range(len(frames)):
        scale = pose_vertices(neutral, expression, follow, frames[t], size, posed)
        vertex_normals(posed, faces, scale, sums, areas, carried)
        rasterise(posed, faces, kinds, areas, samples, depth, seen, shares)
        look = (frames[t], colours, traits, light_of(frames[t]))
        for y in range(size):
            for x in range(size):
                behind = (backdrop[y, x, 0], backdrop[y, x, 1], backdrop[y, x, 2])
                r, g, b = pixel(y * samples, x * samples, samples, view, surfaces, look, behind, EDGE / scale, found)
                pictures[t, y, x, 0] = np.uint8(r * 255.0 + 0.5)
                pictures[t, y, x, 1] = np.uint8(g * 255.0 + 0.5)
                pictures[t, y, x, 2] = np.uint8(b * 255.0 + 0.5)


@compiled
def _maps(scene, paint, frames, space, depths, triangles, shares, layers, points):
    """What is true at pixels' centres: depth (mm, nan for none), triangle, shares, layer; and the posed vertices."""
    neutral, expression, follow, _, faces, kinds = scene
    colours, traits = paint
    _, sums, carried, areas, found, _, _, _ = space
    size = depths.shape[1]
    surfaces = (carried, faces, kinds)
    for t in range(len(frames)):
        scale = pose_vertices(neutral, expression, follow, frames[t], size, points[t])
        vertex_normals(points[t], faces, scale, sums, areas, carried)
        rasterise(points[t], faces, kinds, areas, 1, depths[t], triangles[t], shares[t])
        look = (frames[t], colours, traits, light_of(frames[t]))
        for y in range(size):
            for x in range(size):
                n = triangles[t, y, x]
                if n < 0:
                    depths[t, y, x] = np.nan
                    layers[t, y, x] = col.L_BACKGROUND
                else:
                    gather(n, shares[t, y, x, 0], shares[t, y, x, 1], surfaces, FORGET, found)
                    layers[t, y, x] = shade(kinds[n], found, look, EDGE / scale)[3]


def _kept(version):
    """`_render` and `_maps` as entries that stay on disk until any kernel's source changes.

    Numba finds an entry by what it closes over: the version tells sources apart, a kernel would never look the same in
    two processes.
    """

    @compiled_once
    def render(*arguments):
        version  # noqa: B018
        _render(*arguments)

    @compiled_once
    def maps(*arguments):
        version  # noqa: B018
        _maps(*arguments)

    return render, maps


render_kernel, maps_kernel = _kept(sources_digest())
