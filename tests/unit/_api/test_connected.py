"""The live dictionary: its changes add up to what it holds, whatever is done to it, and by however many threads."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._api.connected import ConnectedDict, Link, connect
from atrains._wire.parameters import HyperParameter, flatten
from atrains.errors import ValidationError


class Stored:
    """What a home would have after the changes that it was told."""

    def __init__(self, values: Mapping[str, Any], at: str = "") -> None:
        self.items = flat(values, at)
        self.told = 0

    def push(self, changes: Mapping[str, HyperParameter | None]) -> None:
        self.told += 1
        for name, item in changes.items():
            if item is None:
                self.items.pop(name, None)
            else:
                self.items[name] = item.value


def flat(values: Mapping[str, Any], at: str = "") -> dict[str, str]:
    return {item.name: item.value for item in flatten(values, section=f"S/{at}" if at else "S")}


names = st.sampled_from(["a", "b", "c", "a/b"])
leaves: st.SearchStrategy[object] = st.integers(0, 3) | st.builds(dict) | st.lists(st.integers(0, 3), max_size=2)
nested = st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=5)
steps = st.lists(
    st.tuples(
        st.sampled_from(["set", "del", "pop", "popitem", "clear", "update", "setdefault", "|="]), st.lists(names, max_size=2), names, nested
    ),
    max_size=12,
)


def take(step: tuple[str, list[str], str, Any], values: dict[str, Any]) -> None:
    """Do a step to a dictionary, at the place that it names if there is one."""
    what, path, key, value = step
    for part in path:
        values = values[part] if isinstance(values.get(part), dict) else values
    match what:
        case "set":
            values[key] = value
        case "del" if key in values:
            del values[key]
        case "pop":
            values.pop(key, None)
        case "popitem" if values:
            values.popitem()
        case "clear":
            values.clear()
        case "update":
            values.update({key: value}, c=1)
        case "setdefault":
            values.setdefault(key, value)
        case "|=":
            values |= {key: value}


@given(st.dictionaries(names, nested, max_size=3), steps, st.sampled_from(["", "at"]))
def test_the_changes_add_up_to_what_it_holds(start: dict[str, Any], steps: list[Any], at: str) -> None:
    """Like a plain dictionary that is stored anew after each step, but for two values of one flat name, which are refused."""
    try:
        stored = Stored(start, at)
    except ValidationError:
        return
    plain: dict[str, Any] = eval(repr(start))  # a copy without shared parts
    live = connect(start, Link("S", stored.push), at)
    for step in steps:
        before = eval(repr(plain))
        take(copy.deepcopy(step), plain)
        try:
            flat(plain, at)
        except ValidationError:
            plain = before
            with pytest.raises(ValidationError):
                take(step, live)
        else:
            take(eval(repr(step)), live)
        assert live == plain
        found = {name: value for name, value in stored.items.items() if name != at}
        assert found == flat(plain, at)


def test_threads_that_change_it_at_once_lose_nothing() -> None:
    stored = Stored({"n": {}})
    live = connect({"n": {}}, Link("S", stored.push))

    def work(number: int) -> None:
        for step in range(200):
            live["n"][f"{number}"] = step
            live[f"k{number}"] = {"x": step}
            if step % 3 == 0:
                del live[f"k{number}"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored.items == flat(live)
    assert stored.items == {f"n/{number}": "199" for number in range(8)} | {f"k{number}/x": "199" for number in range(8)}


def test_what_is_taken_out_is_connected_no_more() -> None:
    stored = Stored({"n": {"deep": {"x": 1}}})
    live = connect({"n": {"deep": {"x": 1}}}, Link("S", stored.push))
    deep = live["n"]["deep"]
    live["n"] = live["n"]
    deep["x"] = 2
    assert stored.items == {"n/deep/x": "2"}
    live["n"] = {"deep": {"x": 3}}
    told = stored.told
    deep["x"] = 4
    assert (stored.told, stored.items) == (told, {"n/deep/x": "3"})
    assert isinstance(live["n"]["deep"], ConnectedDict)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_that_it_does_not_have() -> None:
    link = Link("S", Stored({}).push)
    live = connect({}, link)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with link.lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        live["a"] = 1
        os._exit(7)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
