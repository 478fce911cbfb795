"""How the demo looks: headings, indented lines, JSON on one line."""

import json
import sys
import time

STARTED = time.monotonic()
COLOURS = sys.stdout.isatty()


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOURS else text


def heading(text):
    print(f"\n{paint('1', text)}", flush=True)


def line(text=""):
    print(f"  {text}".rstrip(), flush=True)


def quiet(text):
    line(paint("2", text))


def good(text):
    line(f"{paint('32', '✓')} {text}")


def bad(text):
    line(f"{paint('31', '✗')} {text}")


def on_one_line(value):
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def table(rows):
    """Rows of words in columns; the first row is the head."""
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [
            str(cell).ljust(width) if column == 0 else str(cell).rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        text = "  ".join(cells)
        line(paint("2", text) if number == 0 else text)
