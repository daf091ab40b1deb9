"""One clip's pictures: pose, rasterise, paint, light, and average the samples of every pixel."""

from __future__ import annotations

from math import cos, exp, pi, sin, sqrt

import numpy as np

from .columns import (
    AT_BEARD, AT_FLUSH, AT_HAIRLINE, AT_OCCLUSION, AT_X, AT_Y, AT_Z, ATTRIBUTE_COUNT, CLOTHES, COLLAR, CURL, CURTAIN, FRAMES, GLASSES,
    HAIR, HEAD, L_BACKGROUND, L_CLOTHES, L_GLASSES, L_HAIR, L_SKIN, LIGHT, LIGHT_POWER, LIGHT_RISE, LIGHT_TURN, SHELL,
    SHINE, SKIN, STRANDS, TRIM,
)  # fmt: skip
from .compiling import compiled, compiled_once, inlined, sources_digest
from .paint_kernels import edge, mix, paint_head, ramp
from .raster_kernels import pose_vertices, rasterise, vertex_normals


EDGE = 0.9  # width of painted edges in pixels
CARRIED = 3 + ATTRIBUTE_COUNT  # numbers per vertex: its normal and its attributes
KEEP, FORGET = np.float32(1), np.float32(0)
SMOOTH_STEP = 9.0  # millimetres in depth within a pixel that are no edge


@compiled
def light_of(frame):
    """Direction to the light, unit: turn to the right of the picture and rise, in degrees, from the camera."""
    turn, rise = frame[LIGHT_TURN] * pi / 180, frame[LIGHT_RISE] * pi / 180
    return cos(rise) * sin(turn), sin(rise), cos(rise) * cos(turn)


@inlined
def lit(r, g, b, gloss, soft, shade, nx, ny, nz, frame, colours, lx, ly, lz):
    """Light on a surface of this colour. soft: how far light reaches around (skin); shade: 0..1, how open the place is."""
    facing = nx * lx + ny * ly + nz * lz
    power = frame[LIGHT_POWER]
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
        r * (sky * warm + rim + colours[LIGHT, 0] * key_r * open_) + shine * colours[LIGHT, 0],
        g * (sky + rim + colours[LIGHT, 1] * key * open_) + shine * colours[LIGHT, 1],
        b * (sky + rim + colours[LIGHT, 2] * key * open_) + shine * colours[LIGHT, 2],
    )


@inlined
def paint_hair(turn, along, inner, colours, traits):
    """Strands run down from the crown: lighter and darker streaks, a band of shine around the head."""
    curl, seed = traits[CURL], traits[STRANDS]
    tone = 1.0
    if curl > 0.0:
        tone += 0.16 * curl * sin(9.0 * turn + along * 0.09 + seed) * sin(7.0 * turn - along * 0.08)
        turn += curl * 0.10 * sin(along * 0.11 + 3.0 * turn)
    streak = sin(53.0 * turn + seed) * sin(19.0 * turn + 2.0 * seed) + 0.5 * sin(131.0 * turn + 0.02 * along)
    tone += 0.11 * streak * (1.0 - 0.5 * curl)
    band = (along - 58.0 - 7.0 * sin(5.0 * turn + seed)) / 22.0
    shine = traits[SHINE] * exp(-band * band) * (0.6 + 0.4 * streak) * (1.0 - 0.6 * curl)
    if inner:
        tone *= 0.42
        shine = 0.0
    r, g, b = colours[HAIR, 0], colours[HAIR, 1], colours[HAIR, 2]
    return r * tone + shine * (0.7 * r + 0.035), g * tone + shine * (0.7 * g + 0.035), b * tone + shine * (0.7 * b + 0.035)


@inlined
def paint_garment(x, y, z, colours, traits, blur):
    """Cloth with a collar: 0 round, 1 pointed with skin in it, 2 high, 3 striped."""
    part = CLOTHES
    share = 1.0
    collar = traits[COLLAR]
    r, g, b = colours[CLOTHES, 0], colours[CLOTHES, 1], colours[CLOTHES, 2]
    if collar == 1.0 and z > 0.0:
        share = edge(abs(x) * 1.0 - (y + 196.0) * 0.95, blur + 1.0)
        part = SKIN
        band = 1.0 - edge(abs(abs(x) - (y + 196.0) * 0.95 - 4.0) - 3.0, blur + 1.0)
        r, g, b = mix(r, colours[TRIM, 0], band), mix(g, colours[TRIM, 1], band), mix(b, colours[TRIM, 2], band)
    elif collar == 0.0:
        share = edge(-149.0 - y, blur + 1.0)
        part = TRIM
    elif collar == 3.0:
        share = edge(abs((y * 0.055 + 100.0) % 1.0 - 0.5) * 18.0 - 4.0, blur + 1.0)
        part = TRIM
    return mix(colours[part, 0], r, share), mix(colours[part, 1], g, share), mix(colours[part, 2], b, share), part == SKIN and share < 0.5


@inlined
def gather(n, u, v, surfaces, kept, found):
    """What triangle n has at the shares u, v of its second and third corner: normal, then attributes; added to
    `kept` times what was found before."""
    carried, faces, _ = surfaces
    p, q, k = faces[n, 0], faces[n, 1], faces[n, 2]
    w = np.float32(1.0) - u - v
    for c in range(CARRIED):
        found[c] = kept * found[c] + w * carried[p, c] + u * carried[q, c] + v * carried[k, c]


@inlined
def shade(kind, found, look, blur):
    """Colour and layer of a place of this kind, from what `gather` found."""
    frame, colours, traits, light = look
    nx, ny, nz = found[0], found[1], found[2]
    length = 1.0 / max(sqrt(nx * nx + ny * ny + nz * nz), 1e-9)
    nx, ny, nz = nx * length, ny * length, nz * length
    x, y, z = found[3 + AT_X], found[3 + AT_Y], found[3 + AT_Z]
    soft, gloss, open_ = 0.15, 0.0, 1.0
    if kind == HEAD:
        open_ = 1.0 - found[3 + AT_OCCLUSION]
        r, g, b, gloss, layer = paint_head(
            x, y, z, found[3 + AT_HAIRLINE], found[3 + AT_BEARD], found[3 + AT_FLUSH], frame, colours, traits, blur
        )
        soft = 0.55
    elif kind == SHELL or kind == CURTAIN:
        inner = nz < -0.2  # seen from within; at the outline the normal may lean back a little
        if inner:
            nx, ny, nz = -nx, -ny, -nz
        r, g, b = paint_hair(x, y, inner, colours, traits)
        soft, layer = 0.35, L_HAIR
        open_ = 0.5 if inner else 1.0
    elif kind == FRAMES:
        r, g, b, gloss, layer = colours[GLASSES, 0], colours[GLASSES, 1], colours[GLASSES, 2], 0.35, L_GLASSES
    else:
        r, g, b, bare = paint_garment(x, y, z, colours, traits, blur)
        open_ = 0.45 + 0.55 * ramp(sqrt(x * x + (z + 15.0) ** 2), 62.0, 105.0)
        layer = L_SKIN if bare else L_CLOTHES
        soft = 0.25
    r, g, b = lit(r, g, b, gloss, soft, open_, nx, ny, nz, frame, colours, light[0], light[1], light[2])
    return r, g, b, layer


@inlined
def is_plain(y, x, samples, view, surfaces):
    """Whether all samples of a pixel, the first one at y, x, show one smooth piece of one thing without fine features."""
    depth, seen, _ = view
    carried, faces, kinds = surfaces
    first = seen[y, x]
    if first < 0:
        return False
    kind, near = kinds[first], depth[y, x]
    for j in range(samples):
        for i in range(samples):
            n = seen[y + j, x + i]
            if n < 0 or kinds[n] != kind or abs(depth[y + j, x + i] - near) > SMOOTH_STEP:
                return False
    if kind == HEAD:
        corner = faces[first, 0]
        up = carried[corner, 3 + AT_Y]
        return carried[corner, 3 + AT_Z] < 40.0 or up > 36.0 or up < -86.0 or abs(carried[corner, 3 + AT_X]) > 62.0
    return kind == SHELL or kind == CURTAIN


@inlined
def pixel(y, x, samples, view, surfaces, look, behind, blur, found):
    """Colour of the pixel whose first sample is y, x, as the display shows it, 0..1."""
    _, seen, shares = view
    kinds = surfaces[2]
    if is_plain(y, x, samples, view, surfaces):
        # shaded once, in the pixel's middle: halfway between the first and the last sample
        last = samples - 1
        gather(seen[y, x], shares[y, x, 0], shares[y, x, 1], surfaces, FORGET, found)
        gather(seen[y + last, x + last], shares[y + last, x + last, 0], shares[y + last, x + last, 1], surfaces, KEEP, found)
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


@compiled
def _render(neutral, expression, follow, attributes, faces, kinds, frames, colours, traits, backdrop, samples, pictures):
    """Pictures uint8 [T,S,S,3] of frames [T,columns] before a backdrop [S,S,3] (0..1)."""
    size = pictures.shape[1]
    side = size * samples
    posed, carried = np.empty_like(neutral), np.empty((len(neutral), CARRIED), np.float32)
    carried[:, 3:] = attributes
    depth, seen = np.empty((side, side), np.float32), np.empty((side, side), np.int32)
    shares, found = np.empty((side, side, 2), np.float32), np.zeros(CARRIED, np.float32)
    view, surfaces = (depth, seen, shares), (carried, faces, kinds)
    for t in range(len(frames)):
        scale = pose_vertices(neutral, expression, follow, frames[t], size, posed)
        vertex_normals(posed, faces, scale, carried)
        rasterise(posed, faces, kinds, samples, depth, seen, shares)
        look = (frames[t], colours, traits, light_of(frames[t]))
        for y in range(size):
            for x in range(size):
                behind = (backdrop[y, x, 0], backdrop[y, x, 1], backdrop[y, x, 2])
                r, g, b = pixel(y * samples, x * samples, samples, view, surfaces, look, behind, EDGE / scale, found)
                pictures[t, y, x, 0] = np.uint8(r * 255.0 + 0.5)
                pictures[t, y, x, 1] = np.uint8(g * 255.0 + 0.5)
                pictures[t, y, x, 2] = np.uint8(b * 255.0 + 0.5)


@compiled
def _maps(neutral, expression, follow, attributes, faces, kinds, frames, colours, traits, depths, triangles, shares, layers, points):
    """What is true of every pixel's centre: depth (mm, nan for none), triangle, shares, layer; and the posed vertices."""
    size, found = depths.shape[1], np.zeros(CARRIED, np.float32)
    carried = np.empty((len(neutral), CARRIED), np.float32)
    carried[:, 3:] = attributes
    surfaces = (carried, faces, kinds)
    for t in range(len(frames)):
        scale = pose_vertices(neutral, expression, follow, frames[t], size, points[t])
        vertex_normals(points[t], faces, scale, carried)
        rasterise(points[t], faces, kinds, 1, depths[t], triangles[t], shares[t])
        look = (frames[t], colours, traits, light_of(frames[t]))
        for y in range(size):
            for x in range(size):
                n = triangles[t, y, x]
                if n < 0:
                    depths[t, y, x] = np.nan
                    layers[t, y, x] = L_BACKGROUND
                else:
                    gather(n, shares[t, y, x, 0], shares[t, y, x, 1], surfaces, FORGET, found)
                    layers[t, y, x] = shade(kinds[n], found, look, EDGE / scale)[3]


def _kept(kernel, version):
    """The kernel as an entry that stays on disk until any kernel's source changes: Numba's key has its closure."""

    @compiled_once
    def entry(*arguments):
        version  # noqa: B018
        kernel(*arguments)

    return entry


render_kernel = _kept(_render, sources_digest())
maps_kernel = _kept(_maps, sources_digest())
