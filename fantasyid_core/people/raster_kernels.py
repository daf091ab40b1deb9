"""Geometry of one picture: posed vertices, normals, and which triangle is seen in every sample."""

from __future__ import annotations

from math import ceil, cos, pi, sin, sqrt

from . import columns as col
from .compiling import compiled

PIVOT_Y, PIVOT_Z = -98.0, -22.0  # the head turns about this point of the neck (mm)
VISIBLE, MIDDLE_Y = 296.0, -1.0  # millimetres from edge to edge at zoom 1; what lies in the middle of the picture


@compiled
def rotation(yaw, pitch, roll):
    """Rows of the matrix for angles in degrees: nose to the right of the picture, nose down, clockwise."""
    cy, sy = cos(yaw * pi / 180), sin(yaw * pi / 180)
    cp, sp = cos(pitch * pi / 180), sin(pitch * pi / 180)
    cr, sr = cos(-roll * pi / 180), sin(-roll * pi / 180)
    # roll @ yaw @ pitch
    return (
        (cr * cy, cr * sy * sp - sr * cp, cr * sy * cp + sr * sp),
        (sr * cy, sr * sy * sp + cr * cp, sr * sy * cp - cr * sp),
        (-sy, cy * sp, cy * cp),
    )


@compiled
def pose_vertices(neutral, expression, follow, frame, size, posed):
    """Expression, then the pose, as far as a vertex follows the head; writes x, y in pixels (integers are the
    pixels' centres, y down) and z in millimetres, to the camera."""
    (a, b, c), (d, e, f), (g, h, i) = rotation(frame[col.YAW], frame[col.PITCH], frame[col.ROLL])
    scale = frame[col.ZOOM] * size / VISIBLE
    left = (0.5 + frame[col.SHIFT_X]) * size - 0.5
    top = (0.5 + frame[col.SHIFT_Y]) * size - 0.5
    for n in range(len(neutral)):
        x, y, z = neutral[n, 0], neutral[n, 1], neutral[n, 2]
        if n < expression.shape[1]:
            for k in range(expression.shape[0]):
                amount = frame[col.MOUTH_OPEN + k]
                if amount != 0.0:
                    x += amount * expression[k, n, 0]
                    y += amount * expression[k, n, 1]
                    z += amount * expression[k, n, 2]
        w = follow[n]
        if w > 0.0:
            py, pz = y - PIVOT_Y, z - PIVOT_Z
            x, y, z = (
                x + w * (a * x + b * py + c * pz - x),
                y + w * (d * x + e * py + f * pz - py),
                z + w * (g * x + h * py + i * pz - pz),
            )
        posed[n, 0] = left + x * scale
        posed[n, 1] = top - (y - MIDDLE_Y) * scale
        posed[n, 2] = z
    return scale


@compiled
def vertex_normals(posed, faces, scale, sums, areas, carried):
    """Unit normals by area, in the picture's directions (x to the right, y up, z to the camera), into the first three
    columns of `carried`; and twice the area of every face in square pixels, negative if it looks away."""
    for v in range(len(posed)):
        for c in range(3):
            sums[v, c] = 0.0
    for n in range(len(faces)):
        p, q, r = faces[n, 0], faces[n, 1], faces[n, 2]
        ax, ay, az = posed[q, 0] - posed[p, 0], posed[p, 1] - posed[q, 1], (posed[q, 2] - posed[p, 2]) * scale
        bx, by, bz = posed[r, 0] - posed[p, 0], posed[p, 1] - posed[r, 1], (posed[r, 2] - posed[p, 2]) * scale
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        areas[n] = z
        for v in (p, q, r):
            sums[v, 0] += x
            sums[v, 1] += y
            sums[v, 2] += z
    for v in range(len(posed)):
        x, y, z = sums[v, 0], sums[v, 1], sums[v, 2]
        length = 1.0 / max(sqrt(x * x + y * y + z * z), 1e-9)
        carried[v, 0] = x * length
        carried[v, 1] = y * length
        carried[v, 2] = z * length


@compiled
def rasterise(posed, faces, kinds, areas, samples, depth, seen, shares):
    """The nearest triangle of every sample [S*n, S*n]: index or -1, depth, and the second and third corner's share.

    Triangles that face away are left out, except those of hanging hair.
    """
    side = depth.shape[0]
    for y in range(side):
        for x in range(side):
            depth[y, x], seen[y, x] = -1e9, -1
    offset = (samples - 1.0) / 2.0  # sample 0 of pixel 0 lies at (0.5 / samples - 0.5)
    for n in range(len(faces)):
        if areas[n] <= 0.0 and (areas[n] == 0.0 or kinds[n] != col.CURTAIN):
            continue
        p, q, r = faces[n, 0], faces[n, 1], faces[n, 2]
        x0, y0 = posed[p, 0] * samples + offset, posed[p, 1] * samples + offset
        x1, y1 = posed[q, 0] * samples + offset, posed[q, 1] * samples + offset
        x2, y2 = posed[r, 0] * samples + offset, posed[r, 1] * samples + offset
        low_x, high_x = max(int(ceil(min(x0, x1, x2))), 0), min(int(max(x0, x1, x2)), side - 1)
        low_y, high_y = max(int(ceil(min(y0, y1, y2))), 0), min(int(max(y0, y1, y2)), side - 1)
        if low_x > high_x or low_y > high_y:
            continue
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0.0:
            continue
        z0, z1, z2 = posed[p, 2], posed[q, 2], posed[r, 2]
        inverse = 1.0 / area
        # Shares of corners 1 and 2 are linear in x and y.
        ux, uy = (y2 - y0) * inverse, -(x2 - x0) * inverse
        vx, vy = -(y1 - y0) * inverse, (x1 - x0) * inverse
        for y in range(low_y, high_y + 1):
            u = (low_x - x0) * ux + (y - y0) * uy
            v = (low_x - x0) * vx + (y - y0) * vy
            for x in range(low_x, high_x + 1):
                # a hair's breadth of overlap, so that no sample falls between two triangles
                if u >= -1e-5 and v >= -1e-5 and u + v <= 1.00001:
                    z = z0 + u * (z1 - z0) + v * (z2 - z0)
                    if z > depth[y, x]:
                        depth[y, x] = z
                        seen[y, x] = n
                        shares[y, x, 0] = u
                        shares[y, x, 1] = v
                u += ux
                v += vx
