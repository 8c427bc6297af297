"""A line that says what a caller waits for, while it waits: on a terminal, or in a notebook that has tqdm."""

from tinker_hl.progress_line.line import LINE, ProgressLine

__all__ = ["LINE", "ProgressLine"]
