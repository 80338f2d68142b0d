"""Uploads alone: how many the api takes, what each costs, and how much memory they need."""
