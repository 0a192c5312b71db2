"""Query functions: which tiles are worth an analyst's eye next."""
