"""Results that are shown as a small table, in a notebook and in a terminal."""

from __future__ import annotations

from html import escape

from rich.cells import cell_len, set_cell_size


class Table:
    """A result that is printed as a table; :meth:`cells` says what is in it."""

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return the heading, and a list of texts for each row."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(row[0] for row in self.cells()[1])})"

    def __str__(self) -> str:
        heading, rows = self.cells()
        lines = [heading, *rows]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(set_cell_size, line, widths)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        heading, rows = self.cells()
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
        lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
