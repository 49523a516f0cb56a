"""Write the blocking classes from the async ones: same names, same signatures, same docstrings, one delegating line each.

Run `python atrains/_sync/generate.py` after a change in `_async`; `--check` only says whether the files are up to date. The rules:

- a coroutine becomes a blocking method; a classmethod stays one;
- a property of `Pending[T]` becomes a blocking property of `T`;
- an async generator becomes a generator that closes it, however the loop over it is left;
- a plain method or property delegates; a property `x` beside a coroutine `set_x` gets a setter;
- `AsyncX` in a signature becomes `X`, and values are wrapped and unwrapped on the way;
- a deprecated member warns at the caller's line in both worlds, once.

What is in HAND_WRITTEN is in `_base.py`, or has no blocking form.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
SUMMARIES = {
    "Task": (
        "A task for ordinary programs: every call waits until it is done.\n\n"
        "    Get one with `Task.init`, `Task.create` or `Task.get_task`.\n\n"
        "    Every member may be called from any thread, from many at once: edits of one object take their turn, and none is lost.\n"
        "    A pickle holds the id and the home, and opens the task again in another process; where its run is open it is the\n"
        "    very same object.\n    "
    )
}
HAND_WRITTEN = {"init", "open", "end", "execute_remotely", "known_project_name", "begun_here"}
READ_ONLY = {"artifacts"}
"""Properties without a setter although there is a `set_x`, which takes something else."""
TYPE_ONLY = {"Pending": "", "AsyncIterator": "Iterator", "AsyncGenerator": "Generator"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Pair:
    """One async class and the module its twin is written to. `parts` are the files that the class is composed of, in reading order."""

    core: str
    twin: str
    base: str
    module: str
    parts: tuple[str, ...]
    is_made: bool = False
    """Whether programs make objects of the class themselves."""

    @property
    def label(self) -> str:
        """What a member is called in an error: `task.close`."""
        return self.twin.lower()

    @property
    def written(self) -> str:
        """The module of the twin: of the same name as that of the async class."""
        return Path(self.module).stem


PAIRS = (
    Pair(
        "AsyncTask",
        "Task",
        "TaskTwin",
        "_async/task.py",
        (
            "_api/task.py",
            "_async/base.py",
            "_async/lifecycle.py",
            "_async/finding.py",
            "_async/queueing.py",
            "_async/status.py",
            "_async/identity.py",
            "_async/destination.py",
            "_async/execution.py",
            "_async/remote.py",
            "_async/removal.py",
            "_async/stopping.py",
            "_async/parameters.py",
            "_async/configuration.py",
            "_async/labels.py",
            "_async/artifacts.py",
            "_async/registered.py",
            "_async/queries.py",
            "_async/plots.py",
            "_async/models.py",
        ),
    ),
    Pair("AsyncModel", "Model", "Twin", "_async/model.py", ("_async/model.py", "_async/model_base.py"), is_made=True),
    Pair("AsyncInputModel", "InputModel", "Twin", "_async/input_model.py", ("_async/input_model.py", "_async/model_base.py"), is_made=True),
    Pair(
        "AsyncOutputModel",
        "OutputModel",
        "Twin",
        "_async/output_model.py",
        ("_async/output_model.py", "_async/model_base.py"),
        is_made=True,
    ),
    Pair("AsyncArtifact", "Artifact", "Twin", "_async/artifact.py", ("_async/artifact.py",)),
    Pair("AsyncUpload", "Upload", "Twin", "_async/upload.py", ("_async/upload.py",)),
    Pair("AsyncMetricsManager", "MetricsManager", "Twin", "_async/metrics.py", ("_async/metrics.py",)),
    Pair("AsyncStorageManager", "StorageManager", "Twin", "_async/storage.py", ("_async/storage.py",)),
)
TWINS = {pair.core: pair.twin for pair in PAIRS}


class ToTwin(ast.NodeTransformer):
    """Turns the names in an annotation into those of the blocking world."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Replace the async name of a class by its blocking one."""
        return ast.copy_location(ast.Name(TWINS.get(node.id) or TYPE_ONLY.get(node.id) or node.id, node.ctx), node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Replace `Pending[T]` by `T`."""
        if isinstance(node.value, ast.Name) and node.value.id == "Pending":
            return self.visit(node.slice)  # type: ignore[no-any-return]  # an expression, as the annotation was
        return self.generic_visit(node)


def uses_twins(node: ast.AST | None) -> bool:
    """Whether an annotation names an async class, so that values have to be wrapped."""
    return node is not None and any(isinstance(part, ast.Name) and (part.id in TWINS or part.id == "Self") for part in ast.walk(node))


def annotation(node: ast.expr | None) -> str:
    """An annotation as text, in the blocking world."""
    return "" if node is None else ast.unparse(ToTwin().visit(ast.parse(ast.unparse(node), mode="eval").body))


def members(pair: Pair) -> Iterator[Function]:
    """The public methods and properties of a class, the first definition of each name."""
    seen = set(HAND_WRITTEN)
    for part in pair.parts:
        tree = ast.parse((PACKAGE / part).read_text())
        for node in (item for item in tree.body if isinstance(item, ast.ClassDef)):
            if part == pair.module and node.name != pair.core:
                continue
            if "TypedDict" in map(ast.unparse, node.bases):
                continue
            for item in node.body:
                is_public = isinstance(item, Function) and not item.name.startswith("_")
                is_constructor = pair.is_made and isinstance(item, Function) and item.name == "__init__"
                if isinstance(item, Function) and (is_public or is_constructor) and item.name not in seen:
                    seen.add(item.name)
                    yield item


def decorator(function: Function) -> str:
    """`property`, `classmethod`, `staticmethod` or nothing."""
    return next((name for name in decorators(function) if "(" not in name), "")


def decorators(function: Function) -> list[str]:
    """What stands above a member, as text; `deprecated(...)` is the only one with arguments."""
    return [ast.unparse(node) for node in function.decorator_list]


def is_deprecated(function: Function) -> bool:
    """Whether calling the member warns: then its twin warns where it is called, and the core is called without."""
    return any(name.startswith("deprecated(") for name in decorators(function))


def signature(function: Function) -> str:
    """The signature as text, with annotations of the blocking world."""
    copied = ast.parse(ast.unparse(function)).body[0]
    assert isinstance(copied, Function)
    arguments = copied.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument is not None and argument.annotation is not None:
            argument.annotation = ToTwin().visit(argument.annotation)
    returns = annotation(function.returns)
    return f"def {function.name}({ast.unparse(arguments)}) -> {returns}:"


def forwarded(function: Function) -> str:
    """The arguments as they are passed on."""

    def value(argument: ast.arg) -> str:
        return f"unwrap({argument.arg})" if uses_twins(argument.annotation) else argument.arg

    arguments = function.args
    own = arguments.args if decorator(function) == "staticmethod" else arguments.args[1:]
    passed = [value(argument) for argument in own]
    if arguments.vararg:
        passed.append(f"*{arguments.vararg.arg}")
    passed += [f"{argument.arg}={value(argument)}" for argument in arguments.kwonlyargs]
    if arguments.kwarg:
        passed.append(f"**{arguments.kwarg.arg}")
    return ", ".join(passed)


def is_generator(function: Function) -> bool:
    """Whether calling the member gives an async generator (or another async iterator that has to be closed)."""
    return function.returns is not None and ast.unparse(function.returns).startswith(("AsyncGenerator[", "AsyncIterator["))


def body(function: Function, pair: Pair) -> str:
    """The one line that delegates."""
    kind = decorator(function)
    core = pair.core if kind in {"classmethod", "staticmethod"} else "self._core"
    owner = "cls" if kind == "classmethod" else "self"
    member = f"quietly({core}.{function.name})" if is_deprecated(function) else f"{core}.{function.name}"
    called = "" if kind == "property" else "(...)" if forwarded(function) else "()"
    name = f'"{pair.core if kind == "classmethod" else pair.label}.{function.name}{called}"'
    call = member if kind == "property" else f"{member}({forwarded(function)})"
    if kind == "property" and function.returns is not None and "Pending" in ast.unparse(function.returns):
        call = f"{owner}._block({core}, lambda: fetch({member}), {name})"
    elif is_generator(function):
        return f"return {owner}._iterate({core}, lambda: {call}, {name})"  # wraps what it yields
    elif isinstance(function, ast.AsyncFunctionDef):
        call = f"{owner}._block({core}, lambda: {call}, {name})"
    if uses_twins(function.returns):
        call = f'cast("{annotation(function.returns)}", wrap({call}))'
    return call if annotation(function.returns) == "None" and kind != "property" else f"return {call}"


def write_member(function: Function, pair: Pair, coroutines: set[str]) -> Iterator[str]:
    """The lines of one member, at the indentation of a class body."""
    yield from (f"    @{name}" for name in decorators(function))
    yield f"    {signature(function)}"
    if function.name == "__init__":
        yield f"        self._core = {pair.core}({forwarded(function)})"
        yield "        self._core.__dict__['_twin'] = self"
        yield ""
        return
    text = ast.get_docstring(function, clean=False) or ""
    yield f'        """{text}"""'
    yield f"        {body(function, pair)}"
    yield ""
    setter = f"set_{function.name}"
    if decorator(function) == "property" and setter in coroutines and function.name not in READ_ONLY:
        yield f"    @{function.name}.setter"
        yield f"    def {function.name}(self, value: {annotation(function.returns)}) -> None:"
        yield f'        self._block(self._core, lambda: self._core.{setter}(value), "{pair.label}.{setter}(...)")'
        yield ""


def imports(pair: Pair, code: str) -> Iterator[str]:
    """The imports of the parts that the generated code needs."""
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)} | {"cast"}
    found: dict[str, str] = {}
    for part in pair.parts:
        tree = ast.parse((PACKAGE / part).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module != "__future__":
                found.update({name.asname or name.name: f"from {node.module} import {name.name}" for name in node.names})
        module = "atrains." + part.removesuffix(".py").replace("/", ".")
        for node in tree.body:
            targets = [*node.targets] if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
            names = [node.name] if isinstance(node, ast.ClassDef) else [target.id for target in targets if isinstance(target, ast.Name)]
            found.update({name: f"from {module} import {name}" for name in names})
    twins = {other.twin: f"from atrains._sync.{other.written} import {other.twin}" for other in PAIRS if other is not pair}
    found |= {name: f"from collections.abc import {name}" for name in ("Generator", "Iterator")} | {"cast": "from typing import cast"}
    found["quietly"] = "from atrains._api.deprecation import quietly"
    found |= {name: f"from atrains._sync._base import {name}" for name in ("fetch", "unwrap", "wrap", pair.base)}
    found[pair.core] = f"from atrains.{pair.module.removesuffix('.py').replace('/', '.')} import {pair.core}"
    found.pop(pair.twin, None)
    # Twins are only mentioned: each is loaded when there is something for it to wrap.
    mentioned = sorted({line for name, line in twins.items() if name in used})
    if mentioned:
        found["TYPE_CHECKING"], used = "from typing import TYPE_CHECKING", {*used, "TYPE_CHECKING"}
    yield from sorted({line for name, line in found.items() if name in used and name not in twins})
    if mentioned:
        yield from ("", "if TYPE_CHECKING:", *(f"    {line}" for line in mentioned))


def generate(pair: Pair) -> str:
    """The text of one module."""
    functions = list(members(pair))
    coroutines = {
        each.name for each in functions if isinstance(each, ast.AsyncFunctionDef) and len(each.args.args) == len(["self", "value"])
    }
    tree = ast.parse((PACKAGE / pair.module).read_text())
    core = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == pair.core)
    summary = SUMMARIES.get(pair.twin) or (ast.get_docstring(core, clean=False) or "").replace("await ", "")
    lines = [f"class {pair.twin}({pair.base}):", f'    """{summary}"""', "", f"    _core: {pair.core}"]
    lines.append("")
    for function in functions:
        lines += write_member(function, pair, coroutines)
    lines += ["", f"{pair.base}._twins[{pair.core}] = {pair.twin}"]
    code = "\n".join(lines) + "\n"
    head = [
        f'"""{pair.twin}: generated from `_async` by generate.py. Do not edit."""',
        "",
        "from __future__ import annotations",
        "",
        *imports(pair, code),
        "",
        "",
    ]
    return tidy("\n".join(head) + code)


def tidy(code: str) -> str:
    """The code as the formatter leaves it."""
    for step in (["check", "--select=I,TC,F401", "--fix", "--exit-zero", "--quiet"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *step, "--stdin-filename=atrains/_sync/task.py", "-"]
        code = subprocess.run(command, input=code, capture_output=True, text=True, check=True, cwd=PACKAGE.parent).stdout
    return code


def main() -> int:
    """Write the files, or with `--check` say whether they would change."""
    stale = []
    for pair in PAIRS:
        path = PACKAGE / "_sync" / f"{pair.written}.py"
        text = generate(pair)
        if "--check" in sys.argv[1:]:
            stale += [path.name] if not path.exists() or path.read_text() != text else []
        else:
            path.write_text(text)
    if stale:
        print(f"not up to date: {', '.join(stale)}; run python atrains/_sync/generate.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
