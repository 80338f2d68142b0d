"""Figures over time, for charts: what is noted of the pipeline, and how it is told."""
