"""The checks: one module each, with one function ``check(subject) -> detail``."""
