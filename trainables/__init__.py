"""What one trial does: backbones, initial weights, data, training, scores, and the study folder.

Knows no grid, no plan and no tracker. Nothing here imports torch until a model is needed,
so that planning stays fast.
"""
