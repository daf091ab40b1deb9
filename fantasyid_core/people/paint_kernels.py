"""Paints the face: formulas give the colour of each position, so that features stay sharp at any size.

Positions are millimetres on the average head, so the paint moves with the vertices. `blur` is the width of an edge,
about one sample of the picture. Colours are linear RGB. Functions return r, g, b, gloss and layer, or change their
arguments.
"""

from __future__ import annotations

from math import floor, sqrt

from . import columns as col
from .compiling import compiled, inlined
from .expression import JAW_DROP, LIP_BAND, LIPS_Y, MOUTH_HALF

EYE_HALF, IRIS_RADIUS = 18.2, 8.0


@compiled
def ramp(value, start, end):
    """Smoothly from 0 at `start` to 1 at `end`."""
    t = min(max((value - start) / (end - start), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@compiled
def edge(distance, blur):
    """1 inside (positive distance), 0 outside, over the width of an edge."""
    return min(max(0.5 + distance / blur, 0.0), 1.0)


@compiled
def stripe(distance, half, blur):
    """How much of the width of an edge a line of this half width covers, `distance` from its middle."""
    return max(min(distance + 0.5 * blur, half) - max(distance - 0.5 * blur, -half), 0.0) / blur


@compiled
def mix(a, b, share):
    return a + (b - a) * share


@inlined
def over(r, g, b, colour, gain, share):
    """A colour, made lighter or darker, laid over another."""
    return mix(r, colour[0] * gain, share), mix(g, colour[1] * gain, share), mix(b, colour[2] * gain, share)


@compiled
def hump(distance):
    """About exp(-distance^2), and 0 from 2.83 on; many times faster."""
    t = max(1.0 - 0.125 * distance * distance, 0.0)
    t *= t
    t *= t
    return t * t


@compiled
def wave(angle):
    """About wave(angle), put together from parabolas; many times faster."""
    turn = angle * 0.15915494309189535
    turn -= floor(turn + 0.5)
    return 8.0 * turn - 16.0 * turn * abs(turn)


@compiled
def near_segment(x, y, x0, y0, x1, y1):
    """Distance to a line segment and the share of it where the nearest point lies."""
    dx, dy = x1 - x0, y1 - y0
    t = min(max(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0.0), 1.0)
    return sqrt((x - x0 - t * dx) ** 2 + (y - y0 - t * dy) ** 2), t


@compiled
def mouth_gap(x, mouth_open):
    """Half height, on the average head, of what shows of the mouth's inside, and its height in the picture (mm).

    The field of the open mouth stretches the band around the lips' line evenly: painting this share of it leaves
    the lips as high as they were.
    """
    drop = JAW_DROP * mouth_open * max(1.0 - (x / MOUTH_HALF) ** 2, 0.0)
    return LIP_BAND * drop / (2.0 * LIP_BAND + drop), drop


@compiled
def paint_head(x, y, z, hairline, beard, flush, frame, colours, traits, blur):
    side = abs(x)
    r, g, b = colours[col.SKIN, 0], colours[col.SKIN, 1], colours[col.SKIN, 2]
    share = min(flush * traits[col.BLUSH], 1.0)
    r, g, b = over(r, g, b, colours[col.FLUSH], 1.0, share)
    gloss, layer = 0.10, col.L_SKIN
    if z > 25.0:
        shade = skin_shade(x, y, side, frame, traits, blur)
        r, g, b = r * shade, g * shade * shade, b * shade * shade
    if beard > 0.0 and traits[col.BEARD] > 0.0:
        grain = 1.0 + 0.10 * wave(1.9 * x + 1.3 * y) * wave(2.3 * y - 0.7 * x) * max(1.0 - blur / 2.0, 0.0)
        share = min(beard * traits[col.BEARD] * grain, 1.0)
        r, g, b = over(r, g, b, colours[col.HAIR], 0.75, share)
        gloss *= 1.0 - share
        if share > 0.5:
            layer = col.L_HAIR
    if z > 25.0:
        if y < -52.0 and y > -82.0 and side < 30.0:
            r, g, b, gloss, layer = paint_mouth(r, g, b, gloss, layer, x, y, frame, colours, blur)
        elif y < -28.0 and side < 24.0 and y > -50.0:
            shade = 1.0 - nostrils(side, y, blur)
            r, g, b = r * shade, g * shade * shade, b * shade * shade
        elif y > 9.0 and y < 34.0 and side < 56.0:
            r, g, b, layer = paint_brows(r, g, b, layer, side, y, colours, traits, blur)
        if y > -14.0 and y < 18.0 and side > 8.0 and side < 58.0:
            r, g, b, gloss, layer = paint_eye(r, g, b, gloss, layer, x, y, frame, colours, traits, blur)
    if traits[col.SCALP] > 0.0 and hairline > -4.0:
        uneven = 1.0 * wave(0.9 * x) * wave(0.53 * x + 0.11 * y + 1.0) + 0.5 * wave(2.3 * x + 0.2 * y)
        share = traits[col.SCALP] * edge(hairline + uneven, 4.5 + blur)
        r, g, b = over(r, g, b, colours[col.HAIR], 0.8, share)
        gloss *= 1.0 - share
        if share > 0.5:
            layer = col.L_HAIR
    return r, g, b, gloss, layer


@inlined
def is_detailed(side, y, z):
    """Whether eyes or mouth may be painted within a few millimetres: what is smaller than a pixel counts there."""
    eyes = y > -12.0 and y < 15.0 and side > 9.0 and side < 56.0
    mouth = y > -80.0 and y < -52.0 and side < 31.0
    return z > 40.0 and (eyes or mouth)


@compiled
def skin_shade(x, y, side, frame, traits, blur):
    """Folds and freckles, as a factor."""
    dark = 0.0
    if y < -30.0 and y > -75.0 and side > 11.0 and side < 39.0:
        fold, along = near_segment(side, y, 18.0, -40.0, 32.0, -68.0)
        if fold < 6.0:
            strength = 0.03 + 0.20 * frame[col.SMILE] + 0.16 * traits[col.LINES]
            dark += strength * hump(fold / 2.2) * (1.0 - 0.6 * along)
    if y > -24.0 and y < -8.0:
        bag = y + 10.5 + 0.012 * (side - 31.0) ** 2
        dark += (0.03 + 0.14 * traits[col.LINES]) * hump(bag / 2.5) * hump(((side - 30.0) / 12.0) ** 2)
    if y > 30.0 and y < 66.0:
        crease = max(wave((y + 0.002 * x * x) * 0.62), 0.0)
        strength = 0.07 * traits[col.LINES] + 0.05 * frame[col.BROWS_UP]
        dark += strength * crease**4 * hump((x / 34.0) ** 2) * ramp(66.0 - y, 0.0, 12.0)
    if traits[col.FRECKLES] > 0.0 and y < 0.0 and y > -48.0 and side < 58.0:
        spots = wave(1.31 * x + 2.1 * wave(0.53 * y)) * wave(1.17 * y + 1.7 * wave(0.61 * x + 1.0))
        there = hump((side - 24.0) / 26.0) * hump((y + 20.0) / 16.0)
        dark += 0.35 * traits[col.FRECKLES] * mix(ramp(spots, 0.55, 0.85), 0.12, min(blur / 3.0, 1.0)) * there
    return 1.0 - dark


@compiled
def nostrils(side, y, blur):
    """How dark the openings of the nose and the creases beside its wings are."""
    along, across = (side - 7.0) + 0.5 * (y + 41.0), (y + 41.0) - 0.25 * (side - 7.0)
    hole = 1.0 - sqrt((along / 4.2) ** 2 + (across / 2.4) ** 2)
    dark = 0.80 * edge(hole * 2.4, max(blur, 1.2))
    reach = sqrt((side - 11.5) ** 2 + ((y + 36.5) * 0.85) ** 2)
    crease = hump((reach - 8.6) / 1.5) * ramp(side, 11.0, 17.0)
    return max(dark, 0.22 * crease)


@compiled
def paint_brows(r, g, b, layer, side, y, colours, traits, blur):
    along = (side - 12.5) / 38.0
    if along > -0.1 and along < 1.1:
        t = min(max(along, 0.0), 1.0)
        middle = 18.6 + (7.5 + 3.5 * traits[col.BROW_ARCH]) * t - (6.8 + 3.5 * traits[col.BROW_ARCH]) * t * t * t
        half = (1.7 + 2.3 * traits[col.BROW_THICKNESS]) * (1.0 - 0.78 * t * t) * (0.72 + 0.28 * ramp(t, 0.0, 0.2))
        ends = min(along, 1.0 - along) * 38.0
        grain = 0.92 + 0.08 * wave(3.1 * side + 1.4 * y)
        share = stripe(y - middle, half, max(blur, 1.0)) * edge(ends + 1.0, max(blur, 3.0)) * grain
        r, g, b = over(r, g, b, colours[col.BROW], 1.0, share)
        if share > 0.5:
            layer = col.L_BROWS
    return r, g, b, layer


@compiled
def paint_eye(r, g, b, gloss, layer, x, y, frame, colours, traits, blur):
    way = 1.0 if x > 0.0 else -1.0
    out = x * way - 31.9
    up = y - 0.3 - 0.076 * out
    u = out / EYE_HALF
    round_ = sqrt(max(1.0 - u * u, 0.0))
    round_ *= sqrt(round_)  # the power 0.75
    low = 6.2 * round_ * (1.0 - 0.25 * frame[col.SMILE])
    lid = 8.6 * round_ * (1.0 - 0.22 * u) * traits[col.EYE_OPENNESS] * (1.0 - 0.12 * frame[col.SMILE])
    high = mix(lid, -0.97 * low, frame[col.BLINK])
    lid += 2.9 + 0.6 * frame[col.BLINK]
    dark = 0.0
    if abs(u) < 1.15:
        dark = 0.26 * hump((up - lid) / 1.1) * ramp(1.15 - abs(u), 0.0, 0.35)
        if up > high and up < lid:
            dark = max(dark, 0.10 * (1.0 - frame[col.BLINK]))
    r, g, b = r * (1.0 - dark), g * (1.0 - dark) ** 1.6, b * (1.0 - dark) ** 1.6
    if abs(u) < 1.0:
        inside = edge(min(high - up, up + low), blur)
        if inside > 0.0:
            er, eg, eb = eyeball(out, up, way, high, frame, colours, blur)
            r, g, b = mix(r, er, inside), mix(g, eg, inside), mix(b, eb, inside)
            gloss = mix(gloss, 0.0, inside)
            if inside > 0.5:
                layer = col.L_EYES
    # lashes: along the upper lid, thicker outwards, a little beyond the corner
    if u > -1.0 and u < 1.25:
        beyond = max(u - 0.92, 0.0)
        tip = max(1.0 - (9.0 - 6.0 * traits[col.LASHES]) * beyond, 0.0)
        thick = (1.0 + 1.3 * traits[col.LASHES]) * (0.75 + 0.35 * u) * tip
        lash = 0.9 * stripe(up - high - 0.25 * thick - 9.0 * beyond, 0.5 * thick, max(blur, 0.6)) * ramp(u, -1.0, -0.6)
        r, g, b = mix(r, 0.012, lash), mix(g, 0.008, lash), mix(b, 0.007, lash)
        there = ramp(u, -0.9, 0.6) * ramp(1.02 - u, 0.0, 0.2) * (1.0 - frame[col.BLINK])
        lower = 0.30 * hump((up + low + 0.3) / 0.7) * there
        r, g, b = r * (1.0 - lower), g * (1.0 - lower), b * (1.0 - lower)
    return r, g, b, gloss, layer


@compiled
def eyeball(out, up, way, high, frame, colours, blur):
    white = 0.72 - 0.30 * ramp(up, high - 4.5, high) - 0.14 * ramp(abs(out), 8.0, 18.0)
    pink = 0.10 * ramp(-out, 11.0, 18.0)
    r, g, b = white, white * (0.97 - pink), white * (0.95 - pink)
    dx, dy = out - 0.3 - way * 4.3 * frame[col.GAZE_X], up - 1.2 - 2.8 * frame[col.GAZE_Y]
    reach = sqrt(dx * dx + dy * dy)
    iris = edge(IRIS_RADIUS - reach, max(blur, 0.5))
    if iris > 0.0:
        ring = 1.0 - 0.72 * ramp(reach, 0.68 * IRIS_RADIUS, IRIS_RADIUS)
        light = (0.75 + 0.55 * ramp(-dy, -3.0, 5.0)) * ring * (1.0 - 0.5 * ramp(up, high - 3.5, high))
        pupil = edge(0.40 * IRIS_RADIUS - reach, max(blur, 0.5))
        light *= 1.0 - 0.95 * pupil
        r, g, b = over(r, g, b, colours[col.IRIS], light, iris)
    # the light's reflection, towards the light
    hx = dx * way - (2.1 if frame[col.LIGHT_TURN] >= 0.0 else -2.1)
    spot = edge(1.7 - sqrt(hx * hx + (dy - 2.3) ** 2), max(blur, 0.5))
    return mix(r, 1.0, spot), mix(g, 1.0, spot), mix(b, 1.0, spot)


@compiled
def paint_mouth(r, g, b, gloss, layer, x, y, frame, colours, blur):
    m = abs(x) / 25.0
    line = LIPS_Y + 1.2 * m * m
    up = y - line
    gap, drop = mouth_gap(x, frame[col.MOUTH_OPEN])
    if m < 1.0:
        top = 9.4 * (1.0 - m * sqrt(sqrt(m))) - 1.6 * hump(m / 0.09)
        bottom = 9.8 * (1.0 - m * m)
        lips = edge(min(top - up, up + bottom), max(blur, 1.0))
        tone = (0.86 if up > 0.0 else 1.0) - 0.10 * hump((abs(up) - gap) / 1.6)
        r, g, b = over(r, g, b, colours[col.LIPS], tone, lips)
        if lips > 0.5:
            layer = col.L_LIPS
        gloss = mix(gloss, 0.28 if up < 0.0 else 0.12, lips)
    if m < 1.06:
        # where the lips meet: a dark line, softer and wider at the corners
        closed = 1.0 - min(drop / 4.0, 1.0)
        seam = 0.85 * stripe(up, 0.65 + 0.35 * m, max(blur, 0.8)) * closed * ramp(1.06 - m, 0.0, 0.12)
        r, g, b = mix(r, r * 0.10, seam), mix(g, g * 0.05, seam), mix(b, b * 0.05, seam)
    if drop > 0.3:
        inside = edge(gap - abs(up), min(blur, 0.6)) * min(drop / 1.5, 1.0)
        if inside > 0.0:
            ir, ig, ib = mouth_inside(x, (gap - up) / (2.0 * gap) * drop, drop, frame)
            r, g, b = mix(r, ir, inside), mix(g, ig, inside), mix(b, ib, inside)
            gloss *= 1.0 - inside
            if inside > 0.5:
                layer = col.L_MOUTH
    return r, g, b, gloss, layer


@compiled
def mouth_inside(x, below, drop, frame):
    """Teeth hang from the upper lip, the tongue lies below; `below`: millimetres under the upper lip."""
    r, g, b = 0.045, 0.012, 0.012
    tongue = ramp(below, 0.55 * drop, 0.8 * drop) * ramp(20.0 - abs(x), 0.0, 10.0) * ramp(drop, 6.0, 11.0)
    r, g, b = mix(r, 0.30, tongue), mix(g, 0.07, tongue), mix(b, 0.07, tongue)
    teeth = edge(min(6.5, 0.40 * drop + 1.2) * ramp(24.0 - abs(x), 0.0, 8.0) - below, 0.8)
    bright = 0.86 - 0.30 * ramp(abs(x), 8.0, 22.0)
    return mix(r, bright, teeth), mix(g, bright * 0.96, teeth), mix(b, bright * 0.88, teeth)
