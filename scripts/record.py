#!/usr/bin/env python3
"""Records a run of `tsm live` in a terminal as an animated SVG: docs/terminal.svg.

    scripts/record.py target/release/tsm live tests/clips/pose-squats.mp4 --realtime
"""

import html
import os
import pty
import re
import sys
import time

COLUMNS, ROW_PX, CELL_PX = 96, 20, 8.4


def record(command):
    """Runs the command on a terminal; gives (seconds, text) for everything it wrote."""
    os.environ["COLUMNS"] = str(COLUMNS)
    chunks, start = [], time.monotonic()

    def read(fd):
        data = os.read(fd, 65536)
        chunks.append((time.monotonic() - start, data.decode("utf-8", "replace")))
        return data

    pty.spawn(command, read)
    return chunks


def screens(chunks):
    """The screen after each write, as lists of lines."""
    lines, shown = [""], []
    for seconds, text in chunks:
        for part in re.findall(r"\r\n|\n|\r|\x1b\[2K|[^\r\n\x1b]+", text):
            if part in ("\n", "\r\n"):
                lines.append("")
            elif part in ("\r", "\x1b[2K"):
                lines[-1] = ""
            else:
                lines[-1] += part
        shown.append((seconds, [line for line in lines if line]))
    return shown


def draw(command, shown):
    rows = max(len(lines) for _, lines in shown) + 2
    end = shown[-1][0] + 3
    width, height = COLUMNS * CELL_PX + 32, rows * ROW_PX + 32
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'font-family="ui-monospace,Menlo,Consolas,monospace" font-size="14">',
        '<rect width="100%" height="100%" rx="8" fill="#16181d"/>',
        f'<text x="16" y="30" fill="#8fbf7f" xml:space="preserve">$ {html.escape(command)}</text>',
    ]
    for index, (seconds, lines) in enumerate(shown):
        until = shown[index + 1][0] if index + 1 < len(shown) else end
        marks = f"{max(seconds, 0.001) / end:.4f};{min(until / end, 0.9999):.4f}"
        out.append('<g visibility="hidden">')
        out.append(
            f'<animate attributeName="visibility" values="hidden;visible;hidden" keyTimes="0;{marks}" '
            f'calcMode="discrete" dur="{end:.2f}s" repeatCount="indefinite"/>'
        )
        for row, line in enumerate(lines):
            out.append(
                f'<text x="16" y="{30 + (row + 1) * ROW_PX}" fill="#d7dae0" xml:space="preserve">'
                f"{html.escape(line)}</text>"
            )
        out.append("</g>")
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    if len(sys.argv) < 2:
        print(f"{sys.argv[0]}: give the command to record, such as target/release/tsm live CLIP", file=sys.stderr)
        sys.exit(2)
    shown = screens(record(sys.argv[1:]))
    command = " ".join(sys.argv[1:]).replace("target/release/", "")
    with open("docs/terminal.svg", "w", encoding="utf-8") as file:
        file.write(draw(command, shown))


main()
