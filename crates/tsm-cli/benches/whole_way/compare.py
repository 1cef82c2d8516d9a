"""Measures `tsm live` beside the Python loop, in turn, and prints medians and ratios; see `run`."""

import argparse
import json
import os
import pathlib
import statistics

import contender

HERE = pathlib.Path(__file__).resolve().parent
COLUMNS = ["frames_hz", "cpu_millis", "resident_mib", "peak_mib", "first_label_secs", "first_label_after_imports_secs"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tsm", required=True, help="the program")
    parser.add_argument("--python", required=True, help="the interpreter with OpenCV and ONNX Runtime")
    parser.add_argument("--model", required=True, type=pathlib.Path, help="a folder with model.safetensors and model.onnx")
    parser.add_argument("--video", required=True, help="a 720p file")
    parser.add_argument("--json", type=pathlib.Path, help="where all runs go as JSON")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    tsm = [args.tsm, "live", args.video, "--fps", "all", "--format", "jsonl"]
    contenders = {
        "tsm": [*tsm, "--model", str(args.model / "model.safetensors")],
        "python": [args.python, str(HERE / "python_loop.py"), str(args.model / "model.onnx"), args.video],
    }
    every_core = sorted(os.sched_getaffinity(0))
    runs = []
    for number in range(args.rounds):
        for cores in (every_core[-1:], every_core):
            for name in sorted(contenders, reverse=number % 2 == 0):
                figures = contender.run(contenders[name], cores)
                runs.append({"who": name, "cores": len(cores), **figures})
        runs.append({"who": "tsm, shipped model, start", "cores": len(every_core),
                     **contender.run([*tsm, "--frames", "1"], every_core)})
        runs.append({"who": "tsm, shipped model, one stream", "cores": len(every_core),
                     **contender.run([*tsm, "--realtime"], every_core, stop_after=2 * contender.SETTLED_FRAMES)})
    rows = medians(runs)
    print(table(rows))
    found = ratios(rows)
    for text, ratio in found.items():
        print(f"{text}: {ratio:.2f}")
    if args.json:
        args.json.write_text(json.dumps({"medians": rows, "ratios": found, "runs": runs}, indent=1))


def medians(runs):
    rows = []
    for who, cores in dict.fromkeys((run["who"], run["cores"]) for run in runs):
        own = [run for run in runs if (run["who"], run["cores"]) == (who, cores)]
        middle = {key: statistics.median(known) for key in COLUMNS
                  if (known := [run[key] for run in own if run[key] is not None])}
        rows.append({"who": who, "cores": cores, "frames": own[0]["frames"], **middle})
    return rows


def ratios(rows):
    found = {}
    for cores in dict.fromkeys(row["cores"] for row in rows):
        own = {row["who"]: row for row in rows if row["cores"] == cores}
        if "python" in own:
            found[f"frames/s of tsm to Python, {cores} cores"] = own["tsm"]["frames_hz"] / own["python"]["frames_hz"]
            found[f"CPU a frame of Python to tsm, {cores} cores"] = own["python"]["cpu_millis"] / own["tsm"]["cpu_millis"]
    return found


def table(rows):
    head = f"{'':32}{'cores':>6}{'frames/s':>10}{'CPU ms':>8}{'MiB':>7}{'peak':>7}{'first label s':>15}{'after imports':>15}"
    digits = [1, 2, 1, 1, 3, 3]
    widths = [10, 8, 7, 7, 15, 15]
    lines = [head]
    for row in rows:
        cells = [f"{row[key]:{width}.{places}f}" if key in row else " " * width
                 for key, width, places in zip(COLUMNS, widths, digits)]
        lines.append(f"{row['who']:32}{row['cores']:6}" + "".join(cells))
    return "\n".join(lines)


main()
