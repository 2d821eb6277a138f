"""A study: its plan as text, and its results as text, JSON, CSV and one HTML page."""
