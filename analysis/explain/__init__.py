"""Class activation maps of trained networks, with checks of whether they can be relied on.

``records`` imports no torch: the report reads explanations without it.
"""
