"""The messages of a package, and those of them that no test reads whole."""

import ast
import re


class _Texts(ast.NodeVisitor):
    """Every string of a module as its constant pieces: what lies between two holes.

    A string under a ``raise`` is kept apart. Docstrings are left out.
    """

    def __init__(self, tree):
        self.raised, self.others = [], []
        self._found = self.others
        self.visit(tree)

    def visit_Raise(self, node):
        self._found = self.raised
        self.generic_visit(node)
        self._found = self.others

    def visit_Expr(self, node):
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            self._found.append(re.split(r"\{\w*\}", node.value))  # as str.format has it

    def visit_JoinedStr(self, node):
        pieces = [""]
        for part in node.values:
            if isinstance(part, ast.Constant):
                pieces[-1] += part.value
            else:
                pieces.append("")
                self.visit(part.value)
        self._found.append(pieces)


def messages(package):
    """The constant pieces of every text that the package may show to a user.

    These are the strings of all ``raise`` statements. A message may also stand in a
    constant or a table, so every rule and every sentence counts, in whatever module. In a
    module that raises, every string of several words does.
    """
    for path in sorted(package.rglob("*.py")):
        texts = _Texts(ast.parse(path.read_text()))
        yield from texts.raised
        yield from (x for x in texts.others if _is_message(x, bool(texts.raised)))


def _is_message(pieces, raises):
    """Whether a string that stands under no ``raise`` is part of a message."""
    text = "{}".join(pieces).strip()
    return " " in text and (raises or " must " in text or text.endswith("."))


def unread_messages(package, tests):
    """The messages of ``package`` that no test reads from beginning to end.

    The files ``test_*.py`` below the folder ``tests`` count. A message is read where one
    of their strings holds all of its pieces, in order.
    """
    strings = []
    for path in tests.rglob("test_*.py"):
        texts = _Texts(ast.parse(path.read_text()))
        strings += [_HOLE.join(pieces) for pieces in texts.raised + texts.others]
    return [
        "{}".join(pieces)
        for pieces in messages(package)
        if not any(_pattern(pieces).search(string) for string in strings)
    ]


_HOLE = "\0"


def _pattern(pieces):
    """What a string that reads the whole message matches, with a test's own holes."""
    # A test often has one hole for two of the message and the few words between them. So
    # these may be missing, but not where a message has nothing else.
    long = [len(piece.split()) > 2 for piece in pieces]
    last = len(pieces) - 1
    parts = [re.escape(piece) for piece in pieces]
    for i in range(1, last):
        if any(long) and not long[i]:
            parts[i] = f"(?:{parts[i]}|{_HOLE})"
    # At both ends the test may leave out a blank.
    parts[0] = parts[0].removeprefix(r"\ ")
    parts[last] = parts[last].removesuffix(r"\ ")
    return re.compile(".*".join(parts), re.DOTALL)
