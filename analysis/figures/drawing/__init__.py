"""Drawing primitives: scales, shapes, colours, and the SVG and PDF writers of a figure."""
