"""What is kept of an explained image: the record of its heat maps and checks, and reading records back."""
