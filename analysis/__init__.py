"""Analysis of a study folder, finished or not: tables, figures, the report page, and use of the trained networks.

Reads the study folder only, never Ray or W&B. Data flow one way: ``results`` (verified cells) → ``stats`` → ``tables`` and
``figures`` → ``page``. Only what runs a trained network (``inference``, ``explain``) imports torch.
"""
