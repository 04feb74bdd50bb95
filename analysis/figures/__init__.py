"""Drawings of a study: curves, heat maps and diagrams, from a few shapes to SVG for the page and PDF for a paper.

Written without matplotlib, because every report draws all figures: a study of 120 cells takes 0.3 s, less than
importing matplotlib.
"""
