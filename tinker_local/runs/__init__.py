"""Bookkeeping of sessions, models and samplers: who owns what, what comes when, what was asked for. No torch."""
