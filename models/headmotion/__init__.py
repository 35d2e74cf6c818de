"""Speech to head motion, which is as `utils.face.motion` has it."""
