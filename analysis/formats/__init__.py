"""A table as data, and how it is written as Markdown, plain text and LaTeX."""
