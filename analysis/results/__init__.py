"""Read a study folder and verify it: stages, predictions, splits, plan and grid."""
