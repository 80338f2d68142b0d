"""The feed: changes and figures for subscribers."""
