"""Speech to head motion.

Head motion is (T, 6) at 25 frames/s, relative to a resting head: a rotation vector (radians; x: nod, y: turn, z: lean),
a translation in face widths (x to the right, y down), and the logarithm of the scale.
"""

AXES = ("pitch", "yaw", "roll", "x", "y", "scale")
MIRROR = (1.0, -1.0, -1.0, -1.0, 1.0, 1.0)  # what a mirror makes of each axis
