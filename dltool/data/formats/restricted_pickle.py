"""A reader of pickles that builds arrays of numbers and builtin containers, nothing else.

Python's own reader hands what the file says to NumPy, which trusts it: an array of objects takes bytes of the file for
addresses. Here each instruction of a pickle is carried out in Python, on a list of admitted ones; an array is made of
a checked type, shape and number of bytes. Time and memory grow with the length of the file alone.

Reference: the opcodes of Python's `pickletools`; `numpy.ndarray.__reduce__`.
"""

from __future__ import annotations

import codecs
import math
import pickle
import re
import struct
import warnings
from collections.abc import Sequence, Set
from typing import Any

import numpy as np

# What pickles of arrays refer to: numpy.core was renamed numpy._core in NumPy 2.
_ADMITTED = {("numpy", "ndarray"), ("numpy", "dtype")} | {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("numeric", "_frombuffer"))
}
_NUMBERS = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248])")
_KEYS = (str, bytes, int, float, type(None))  # of a dict: hashing a nested tuple may take for ever
_MOST_AXES = 32


def loads(data: bytes, origin: str) -> Any:
    """Return the object pickled in `data`; text of Python 2 becomes bytes.

    Args:
        data: a pickle of any protocol.
        origin: where `data` came from, for the error.
    Raises:
        ValueError: if the pickle refers to anything but NumPy's arrays of numbers, or is damaged.
    """
    try:
        return Reader(data).read()
    except Refused as error:
        raise ValueError(
            f"{origin} is a pickle that asks for {error}, which a file of arrays does not need: "
            "do not trust it, fetch the original."
        ) from error
    except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"{origin} is cut short or damaged ({error}): fetch the file again.") from error


class Refused(Exception):
    """What a pickle asks for that is not admitted."""


class _Type:
    """A type of numbers under construction."""

    def __init__(self, code: Any) -> None:
        text = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _NUMBERS.fullmatch(text):
            raise Refused(f"an array of {text[:20]}" if isinstance(text, str) else "an array of no type")
        self.dtype = np.dtype(text)

    def build(self, state: Any) -> None:
        order, *parts = state[1:5]
        order = order.decode("ascii") if isinstance(order, bytes) else order
        if order not in ("<", ">", "=", "|") or any(part is not None for part in parts):
            raise Refused("an array of records")
        if order != "|":
            self.dtype = np.dtype(order + self.dtype.str[1:])


class _Array:
    """An array under construction."""

    array: np.ndarray | None = None

    def build(self, state: Any) -> None:
        shape, kind, by_columns, content = state[-4:]
        self.array = _array(content, kind, shape, "F" if by_columns else "C")


def _array(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(kind, _Type) or not isinstance(content, bytes | bytearray):
        raise Refused("an array of objects")
    if not isinstance(shape, tuple) or len(shape) > _MOST_AXES or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("an array of no shape")
    if math.prod(shape) * kind.dtype.itemsize != len(content):
        raise ValueError(f"an array in {len(content)} bytes that needs others")
    if not content:
        return np.empty(shape, kind.dtype)
    order = order.decode("ascii") if isinstance(order, bytes) else order
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


class Reader:
    """Carries out a pickle's instructions. A subclass may admit other names, and carry out their calls.

    Args:
        data: bytes with the pickle.
        at: where it begins; after `read`, where it ended.
    """

    admitted: Set[tuple[str, str]] = _ADMITTED

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # the stacks below the marks
        self.memo: dict[int, Any] = {}

    def read(self) -> Any:
        actions = {code[0]: getattr(self, name) for code, name in _ACTIONS.items()}
        data, stop = self.data, pickle.STOP[0]
        while (code := data[self.at]) != stop:
            if code not in actions:
                raise Refused(f"the instruction {bytes([code])!r}")
            self.at += 1
            actions[code]()
        self.at += 1
        return self.stack.pop()

    # -- the file --------------------------------------------------------------------------------------

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise ValueError(f"it ends at byte {len(self.data)}")
        self.at, start = end, self.at
        return self.data[start:end]

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        end = self.data.index(b"\n", self.at)
        line = self.take(end - self.at)
        self.at += 1
        return line

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return items

    # -- numbers and text ------------------------------------------------------------------------------

    def none(self) -> None:
        self.stack.append(None)

    def true(self) -> None:
        self.stack.append(True)

    def false(self) -> None:
        self.stack.append(False)

    def byte(self) -> None:
        self.stack.append(self.data[self.at])
        self.at += 1

    def two_bytes(self) -> None:
        self.stack.append(self.number("<H"))

    def four_bytes(self) -> None:
        self.stack.append(self.number("<i"))

    def short_long(self) -> None:
        self.stack.append(int.from_bytes(self.take(self.number("<B")), "little", signed=True))

    def long_long(self) -> None:
        self.stack.append(int.from_bytes(self.take(self.number("<i")), "little", signed=True))

    def int_line(self) -> None:
        line = self.line()
        self.stack.append({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line))

    def long_line(self) -> None:
        self.stack.append(int(self.line().removesuffix(b"L")))

    def double(self) -> None:
        self.stack.append(self.number(">d"))

    def float_line(self) -> None:
        self.stack.append(float(self.line()))

    def bytes_1(self) -> None:
        self.stack.append(self.take(self.number("<B")))

    def bytes_4(self) -> None:
        self.stack.append(self.take(self.number("<I")))

    def bytes_8(self) -> None:
        self.stack.append(self.take(self.number("<Q")))

    def text_1(self) -> None:
        self.stack.append(self.take(self.number("<B")).decode("utf-8", "surrogatepass"))

    def text_4(self) -> None:
        self.stack.append(self.take(self.number("<I")).decode("utf-8", "surrogatepass"))

    def text_8(self) -> None:
        self.stack.append(self.take(self.number("<Q")).decode("utf-8", "surrogatepass"))

    def text_line(self) -> None:
        self.stack.append(self.line().decode("raw-unicode-escape"))

    def string_line(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that Python does not know
            self.stack.append(codecs.escape_decode(self.line().strip()[1:-1])[0])

    # -- containers ------------------------------------------------------------------------------------

    def mark(self) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        if self.stack:
            del self.stack[-1]
        else:
            self.to_mark()

    def duplicate(self) -> None:
        self.stack.append(self.stack[-1])

    def empty_list(self) -> None:
        self.stack.append([])

    def list(self) -> None:
        items = self.to_mark()
        self.stack.append(items)

    def append(self) -> None:
        item = self.stack.pop()
        self._last(list).append(item)

    def appends(self) -> None:
        items = self.to_mark()
        self._last(list).extend(items)

    def empty_tuple(self) -> None:
        self.stack.append(())

    def tuple(self) -> None:
        items = self.to_mark()
        self.stack.append(tuple(items))

    def tuple_1(self) -> None:
        self._tuple_of(1)

    def tuple_2(self) -> None:
        self._tuple_of(2)

    def tuple_3(self) -> None:
        self._tuple_of(3)

    def empty_dict(self) -> None:
        self.stack.append({})

    def dict(self) -> None:
        items = self.to_mark()
        self.stack.append({})
        self._set(items)

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def set_items(self) -> None:
        self._set(self.to_mark())

    def _last(self, kind: type) -> Any:
        last = self.stack[-1]
        if type(last) is not kind:
            raise TypeError(f"items for no {kind.__name__}")
        return last

    def _tuple_of(self, size: int) -> None:
        if len(self.stack) < size:
            raise ValueError("a tuple of nothing")
        items = tuple(self.stack[-size:])
        self.stack[-size:] = [items]

    def _set(self, items: Any) -> None:
        target = self._last(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, _KEYS):
                raise TypeError("a dict with a container as key")
            target[key] = value

    # -- what was there before -------------------------------------------------------------------------

    def put_line(self) -> None:
        self.memo[int(self.line())] = self.stack[-1]

    def put_1(self) -> None:
        self.memo[self.data[self.at]] = self.stack[-1]
        self.at += 1

    def put_4(self) -> None:
        self.memo[self.number("<I")] = self.stack[-1]

    def memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def get_line(self) -> None:
        self._get(int(self.line()))

    def get_1(self) -> None:
        self._get(self.number("<B"))

    def get_4(self) -> None:
        self._get(self.number("<I"))

    def _get(self, key: int) -> None:
        value = self.memo[key]
        self.stack.append(value.array if isinstance(value, _Array) and value.array is not None else value)

    # -- arrays ----------------------------------------------------------------------------------------

    def name(self) -> None:
        self._name(self.line().decode("utf-8"), self.line().decode("utf-8"))

    def name_on_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(module, name)

    def _name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("a name that is no text")
        if (module, name) not in self.admitted:
            raise Refused(f"{module}.{name}"[:200])
        self.stack.append(Name(name))

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise Refused("a call of what is no function")
        self.stack.append(self.called(function.text, arguments))

    def called(self, name: str, arguments: Sequence[Any]) -> Any:
        """Return what an admitted name gives for arguments."""
        if name == "dtype":
            return _Type(arguments[0])
        if name == "_frombuffer":
            return _array(*arguments)
        if name == "_reconstruct":
            return _Array()
        raise Refused(f"a call of numpy.{name}")

    def persistent(self) -> None:
        self.stack.append(self.found_outside(self.stack.pop()))

    def found_outside(self, reference: Any) -> Any:
        """Return what a reference to something outside of the pickle stands for."""
        raise Refused("something outside of it")

    def build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if not isinstance(target, _Type | _Array) or not isinstance(state, tuple):
            raise Refused("the state of what is no array")
        target.build(state)
        if isinstance(target, _Array):
            self.stack[-1] = target.array

    def protocol(self) -> None:
        self.at += 1

    def frame(self) -> None:
        self.at += 8


class Name:
    """An admitted name, not yet called."""

    def __init__(self, text: str) -> None:
        self.text = text


_ACTIONS = {
    pickle.PROTO: "protocol", pickle.FRAME: "frame", pickle.NONE: "none", pickle.NEWTRUE: "true",
    pickle.NEWFALSE: "false", pickle.BININT1: "byte", pickle.BININT2: "two_bytes", pickle.BININT: "four_bytes",
    pickle.LONG1: "short_long", pickle.LONG4: "long_long", pickle.INT: "int_line", pickle.LONG: "long_line",
    pickle.BINFLOAT: "double", pickle.FLOAT: "float_line", pickle.SHORT_BINSTRING: "bytes_1",
    pickle.SHORT_BINBYTES: "bytes_1", pickle.BINSTRING: "bytes_4", pickle.BINBYTES: "bytes_4",
    pickle.BINBYTES8: "bytes_8", pickle.BYTEARRAY8: "bytes_8", pickle.SHORT_BINUNICODE: "text_1",
    pickle.BINUNICODE: "text_4", pickle.BINUNICODE8: "text_8", pickle.UNICODE: "text_line",
    pickle.STRING: "string_line", pickle.MARK: "mark", pickle.POP: "pop", pickle.POP_MARK: "to_mark",
    pickle.DUP: "duplicate", pickle.EMPTY_LIST: "empty_list", pickle.LIST: "list", pickle.APPEND: "append",
    pickle.APPENDS: "appends", pickle.EMPTY_TUPLE: "empty_tuple", pickle.TUPLE: "tuple", pickle.TUPLE1: "tuple_1",
    pickle.TUPLE2: "tuple_2", pickle.TUPLE3: "tuple_3", pickle.EMPTY_DICT: "empty_dict", pickle.DICT: "dict",
    pickle.SETITEM: "set_item", pickle.SETITEMS: "set_items", pickle.PUT: "put_line", pickle.BINPUT: "put_1",
    pickle.LONG_BINPUT: "put_4", pickle.MEMOIZE: "memoize", pickle.GET: "get_line", pickle.BINGET: "get_1",
    pickle.LONG_BINGET: "get_4", pickle.GLOBAL: "name", pickle.STACK_GLOBAL: "name_on_stack", pickle.REDUCE: "call",
    pickle.BUILD: "build", pickle.BINPERSID: "persistent",
}  # fmt: skip
