"""The public clients: thin classes that check arguments, reserve order and return futures."""
