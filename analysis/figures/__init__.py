"""Drawings of a study: curves, heat maps and diagrams, from a few shapes to SVG for the page and PDF for a paper.

Hand-made, because every report is drawn anew: a study of 120 cells takes some 0.3 s, matplotlib's import alone more.
"""
