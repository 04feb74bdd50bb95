"""Statistics of verified cells: averages, paired tests, bootstrap, and findings in sentences."""

QUESTIONS = ("imagenet", "domain", "architecture")
"""Names of the research questions. Here, because ``analysis.ask --help`` lists them without importing NumPy."""
