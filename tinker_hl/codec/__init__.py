"""Public types to and from the bytes of the wire, one module a form; no network here."""
