"""Finds the end of a pickle and the memory that it would reserve, without running any of its instructions.

Python's unpickler trusts two numbers before it reads the rest: the length of a string, and the index of a memoised
object. It reserves memory for both at once, so ten bytes can ask for 30 GB.
"""

from __future__ import annotations

from pickletools import (
    TAKEN_FROM_ARGUMENT1,
    TAKEN_FROM_ARGUMENT4,
    TAKEN_FROM_ARGUMENT4U,
    TAKEN_FROM_ARGUMENT8U,
    UP_TO_NEWLINE,
    code2op,
)

# How many bytes in front of a string say how long it is, and whether that number has a sign.
_COUNTS = {
    TAKEN_FROM_ARGUMENT1: (1, False),
    TAKEN_FROM_ARGUMENT4: (4, True),
    TAKEN_FROM_ARGUMENT4U: (4, False),
    TAKEN_FROM_ARGUMENT8U: (8, False),
}
_TWO_LINES = "stringnl_noescape_pair"
_REMEMBERING = ("PUT", "LONG_BINPUT")
_LONGEST_INDEX = 12  # digits


def pickle_end(content: bytes, start: int = 0) -> int:
    """Where in `content` the pickle that begins at `start` ends.

    Raises ValueError when it is cut off, has an unknown instruction, or makes room for more objects
    than it can have made.
    """
    position, count = start, 0
    while position < len(content):
        instruction = code2op.get(chr(content[position]))
        if instruction is None:
            raise ValueError(f"the byte {content[position]:#04x} at {position} is no instruction of a pickle")
        count += 1
        argument, position = position + 1, _end_of(instruction.arg, content, position + 1)
        if position > len(content):
            break
        if instruction.name in _REMEMBERING:
            _check_index(content[argument:position], instruction.name, count)
        if instruction.name == "STOP":
            return position
    raise ValueError("it is cut off: the instruction to stop is missing")


def _end_of(argument, content: bytes, start: int) -> int:
    if argument is None:
        return start
    if argument.n >= 0:
        return start + argument.n
    if argument.n == UP_TO_NEWLINE:
        for _ in range(2 if argument.name == _TWO_LINES else 1):
            start = content.find(b"\n", start) + 1
            if not start:
                return len(content) + 1
        return start
    size, signed = _COUNTS[argument.n]
    count = int.from_bytes(content[start : start + size], "little", signed=signed)
    if count < 0:
        raise ValueError(f"a string in it is said to have {count} bytes")
    return start + size + count


def _check_index(written: bytes, instruction: str, count: int) -> None:
    as_text = instruction == "PUT" and len(written) <= _LONGEST_INDEX
    index = int(written) if as_text else int.from_bytes(written, "little")
    if not 0 <= index <= count:
        raise ValueError(f"it wants room for {index} objects after {count} instructions")
