"""Class activation maps of a trained stage, with checks of whether to believe them.

``record`` and ``gallery`` know no torch: the report reads what was explained without it.
"""
