"""What outlives the service's process: records in SQLite, weights in folders."""
