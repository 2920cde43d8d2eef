"""Answers over years: shifts, what is stored as Parquet or CSV, and which defects cost most."""
