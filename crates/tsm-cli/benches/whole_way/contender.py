"""Runs a program that writes a JSON line a frame, and watches it from outside.

    spawn ── lines before the first frame ── first frame ──────────────── last frame ── exit
             └─ first_label_secs ───────────┘└─ frames_hz, cpu_millis ───┘
"""

import os
import subprocess
import time

TICK_SECS = 1 / os.sysconf("SC_CLK_TCK")
# Lines after which memory is looked at: the decoder's buffers and ours are all in use by then.
SETTLED_FRAMES = 60


def run(command, cores, stop_after=None):
    """One run on `cores`; with `stop_after`, only so many frames."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: os.sched_setaffinity(0, cores))
    first = last = imported = resident = None
    frames, cpu_before = 0, 0.0
    for line in process.stdout:
        if b'"frame"' not in line:
            imported = time.perf_counter()
            continue
        last = time.perf_counter()
        frames += 1
        if frames == 1:
            first, cpu_before = last, cpu_secs(process.pid)
        if frames == SETTLED_FRAMES:
            resident = resident_mib(process.pid)
        if frames == stop_after:
            process.terminate()
            break
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if first is None or (process.returncode and not stop_after):
        raise SystemExit(f"{command[0]} failed after {frames} frames: {process.returncode}")
    cpu = usage.ru_utime + usage.ru_stime - cpu_before
    return {
        "frames": frames,
        "frames_hz": (frames - 1) / (last - first) if frames > 1 else None,
        "cpu_millis": cpu * 1000 / (frames - 1) if frames > 1 else None,
        "resident_mib": resident,
        "peak_mib": usage.ru_maxrss / 1024,
        "first_label_secs": first - began,
        "first_label_after_imports_secs": first - imported if imported else None,
    }


def cpu_secs(pid):
    """User and system time so far, of all threads (proc(5), fields 14 and 15)."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_SECS


def resident_mib(pid):
    status = read(f"/proc/{pid}/status")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024


def read(path):
    with open(path, encoding="ascii") as file:
        return file.read()
