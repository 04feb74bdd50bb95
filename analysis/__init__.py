"""What came out: from a study folder, finished or not, to tables and one report page.

Reads only the study folder, never Ray or W&B. The way of the data:
`collect` (verified cells) → `average` (scores) → `sections` (all tables and answers) → `page`. Nothing goes back.
Only what runs a trained net (`predict`, `export`) needs torch, and imports it when it does.
"""
