"""What came out: from a study folder, finished or not, to tables and one report page.

Reads only the study folder, never Ray, W&B or torch. The way of the data:
`collect` (verified cells) → `average` (scores) → `tables` → `page`. Nothing goes back.
"""
