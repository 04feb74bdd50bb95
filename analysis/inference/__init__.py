"""Use the trained models of a study: on new images, as an ensemble, or exported with a model card."""
