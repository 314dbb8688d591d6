"""Where bars come from: one protocol (`base`), one contract test suite, several sources."""
