"""Head motion: (T, 6) at 25 frames/s, about a resting head, as `utils.face.pose.motion_of` makes it.

A rotation vector in the head's own axes at rest (radians; x: nod, y: turn, z: lean), a translation in face widths (x to
the picture's right, y down), and the logarithm of the scale.
"""

AXES = ("pitch", "yaw", "roll", "x", "y", "scale")
MIRROR = (1.0, -1.0, -1.0, -1.0, 1.0, 1.0)  # what a mirror makes of each axis
