"""A study's results as text, JSON, CSV and one HTML page."""
