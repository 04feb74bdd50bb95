"""Explanation methods: Grad-CAM and others, guided back-propagation, and the layer that maps are read from."""
