"""CSV files as people have them (表格): UTF-8 or GB18030, Chinese or English heads."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.errors import UserError

ENCODINGS = ("utf-8-sig", "gb18030")
_FIELD_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Line:
    """One row: its number in the file as a spreadsheet shows it, its cells by our column names."""

    number: int
    cells: Mapping[str, str]
    raw: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A CSV file that can be read: its path, encoding, head, and number of lines."""

    path: Path
    encoding: str
    head: tuple[str, ...]
    columns: tuple[str | None, ...]
    line_count: int

    def lines(self) -> Iterator[Line]:
        """The rows one by one; empty ones are passed over."""
        csv.field_size_limit(_FIELD_LIMIT)
        with self.path.open(encoding=self.encoding, newline="") as file:
            reader = csv.reader(file)
            next(reader)
            try:
                for raw in reader:
                    if any(cell.strip() for cell in raw):
                        yield Line(reader.line_num, self._cells(raw), tuple(raw))
            except csv.Error:
                raise UserError(
                    f"第 {reader.line_num} 行读不出来：引号没有配对，或单元格太长。"
                ) from None

    def _cells(self, raw: list[str]) -> dict[str, str]:
        return {
            column: cell.strip()
            for column, cell in zip(self.columns, raw, strict=False)
            if column is not None and cell.strip()
        }


def open_table(path: Path, names: Mapping[str, str], required: tuple[str, ...]) -> Table:
    """Look at a file: `names` maps every accepted head (lower case) to our column name.

    UserError when the file cannot be read, or a required column is missing. Other columns are
    passed over.
    """
    encoding, lines = _examine(path)
    with path.open(encoding=encoding, newline="") as file:
        try:
            head = tuple(cell.strip() for cell in next(csv.reader(file), []))
        except csv.Error:
            raise UserError("表头读不出来，请确认文件是 CSV。") from None
    columns = tuple(names.get(cell.lower()) for cell in head)
    missing = [name for name in required if name not in columns]
    if missing:
        wanted = "、".join(_shown(name, names) for name in missing)
        raise UserError(f"缺少列：{wanted}。")
    twice = next((c for c in columns if c is not None and columns.count(c) > 1), None)
    if twice is not None:
        raise UserError(f"有两列都是“{_shown(twice, names)}”。")
    return Table(path, encoding, head, columns, max(lines - 1, 0))


def _examine(path: Path) -> tuple[str, int]:
    """The encoding in which the whole file reads, and its number of lines."""
    for encoding in ENCODINGS:
        decoder = codecs.getincrementaldecoder(encoding)()
        lines, ends_open = 0, False
        try:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    if b"\x00" in chunk:
                        raise UserError("文件不是 CSV 文本，请另存为 CSV（UTF-8）。")
                    text = decoder.decode(chunk)
                    lines += text.count("\n")
                    ends_open = not text.endswith("\n")
                decoder.decode(b"", final=True)
            return encoding, lines + ends_open
        except UnicodeDecodeError:
            continue
        except OSError as error:
            raise UserError(f"打不开文件 {path.name}：{error.strerror}。") from error
    raise UserError("文件的编码既不是 UTF-8，也不是 GB18030。")


def _shown(column: str, names: Mapping[str, str]) -> str:
    """The Chinese head of a column, the first one listed."""
    return next(head for head, name in names.items() if name == column)


def defused(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
