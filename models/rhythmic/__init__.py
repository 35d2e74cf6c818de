"""Rhythmic head motion (Chen et al. 2020): posed landmarks and K frames of a person to frames, and the maps it needs"""
