"""How heat maps are computed: Grad-CAM, Grad-CAM++, guided Grad-CAM, and the layer they read."""
