"""`lab tune`: demands are measured, settings predicted, those that matter measured, and one is recommended."""
