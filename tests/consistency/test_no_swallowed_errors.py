"""Whatever writes to the database lets its errors out: a batch that failed must never look stored."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.repository import ROOT

_WRITERS = sorted(
    [
        *(ROOT / "spark_app").rglob("*.py"),
        *(ROOT / "daemons" / "market_pulse" / "cli" / name for name in ("quarantine.py", "replay.py")),
    ]
)
# Why an error may end there: none of these stands around a write.
_ALLOWED = {
    "start.py:check": "the lock's session is opened anew, now or at the next call; it stores nothing",
    "start.py:release": "the session is given up",
    "warmth.py:_keep_warm": "its task stores nothing, and what keeps it from running keeps the next batch, too",
}


def swallowed(source: str) -> Iterator[tuple[str, int]]:
    """Yield function and line of each handler that does not raise, and of each suppression."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and catches_much(node.type) and not always_raises(node.body):
                yield function.name, node.lineno
            if isinstance(node, ast.With) and any("suppress" in ast.unparse(item.context_expr) for item in node.items):
                yield function.name, node.lineno


def catches_much(caught: ast.expr | None) -> bool:
    """Tell whether a database error is among what is caught."""
    broad = ("psycopg2", "Exception", "Py4J")
    return caught is None or any(name in ast.unparse(caught) for name in broad)


def always_raises(body: list[ast.stmt]) -> bool:
    """Tell whether a handler ends in an exception or the end of the process with an error."""
    last = body[-1]
    return isinstance(last, ast.Raise) or (isinstance(last, ast.Expr) and ast.unparse(last) == "sys.exit(1)")


@pytest.mark.parametrize("path", _WRITERS, ids=lambda path: path.name)
def test_no_handler_around_a_write_swallows_an_error(path: Path) -> None:
    found = {f"{path.name}:{function}" for function, _ in swallowed(path.read_text())}
    assert found - _ALLOWED.keys() == set()


def test_every_allowed_place_still_needs_it() -> None:
    found = {f"{path.name}:{function}" for path in _WRITERS for function, _ in swallowed(path.read_text())}
    assert found == set(_ALLOWED)


@pytest.mark.parametrize(
    "body",
    [
        "try:\n        store()\n    except psycopg2.Error:\n        log()",
        "try:\n        store()\n    except Exception:\n        return None",
        "try:\n        store()\n    except:\n        if rare:\n            raise",
        "with contextlib.suppress(psycopg2.Error):\n        store()",
    ],
)
def test_the_lint_sees_what_it_is_for(body: str) -> None:
    assert list(swallowed(f"def write():\n    {body}\n"))


def test_the_lint_lets_pass_what_raises() -> None:
    body = "try:\n        store()\n    except psycopg2.Error:\n        close()\n        raise"
    assert list(swallowed(f"def write():\n    {body}\n")) == []
