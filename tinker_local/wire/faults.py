"""The one error of the wire codec. It does not know which HTTP status it becomes."""

__all__ = ["Loc", "WireFault"]

Loc = tuple[str | int, ...]
"""The way to a value inside a request, as in `("body", "data", 3, "loss_fn_inputs", "weights")`."""


class WireFault(ValueError):  # noqa: N818  # a fault of the request, as "user fault" in the engine; not of this program
    """A request says something that cannot be carried out; `loc` is where, `message` what and what to do."""

    def __init__(self, loc: Loc, message: str) -> None:
        super().__init__(loc, message)
        self.loc = loc
        self.message = message

    def __str__(self) -> str:
        return f"{'.'.join(str(part) for part in self.loc)}: {self.message}"
