"""Long lists of numbers, cut out of JSON so that each can be parsed by itself.

Parsing the logprobs of a large pass in one call takes the interpreter for 20 ms, in which no other thread runs; list by
list it takes as long, but in pieces. It knows JSON, nothing of what the numbers are.
"""

import re

__all__ = ["without_lists"]

_HEAD = re.compile(rb'"data"\s*:\s*\[')
"""Where the list of a tensor begins. Inside a JSON string each quote has a backslash before it, so it is none."""


def without_lists(content: bytes) -> tuple[bytes, list[bytes]]:
    """JSON in which every list under a key `data` is `[n]`, and the lists, each as JSON, of which that is number n.

    A list ends where the first bracket closes: whoever parses one with others inside finds that it is no JSON.
    """
    lists: list[bytes] = []
    rest: list[bytes] = []
    end = 0
    while head := _HEAD.search(content, end):
        start = head.end()
        rest += (content[end:start], b"%d" % len(lists))
        end = content.find(b"]", start)
        if end < 0:
            # Not JSON, which the parser tells better.
            end = len(content)
        lists.append(b"[%b]" % content[start:end])
    return b"".join((*rest, content[end:])), lists
