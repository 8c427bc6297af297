"""The research client for the Tinker API."""
