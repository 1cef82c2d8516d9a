"""Runs our step and the peers' in turn and prints medians, bests and ratios; see `run`."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

os.environ.pop("OPENBLAS_CORETYPE", None)

try:
    import numpy

    from network import Network
    from peers import LiteRt, OnnxRuntime, OpenVino, Ours
except ModuleNotFoundError as absent:
    said = f"{absent.name} is not installed; start `run` beside this script, which brings it"
    print(f"{sys.argv[0]}: {said}", file=sys.stderr)
    sys.exit(2)

# Seconds that a runtime's turn takes about.
TURN_SECS = 0.25
TOLERANCE = 1e-3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, help="where the rows go as JSON")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--models", default="mobilenetv2,resnet50")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--judge", choices=["median", "best"], default="median",
                        help="what counts: the median of all steps, or the best, which a busy machine disturbs less")
    args = parser.parse_args()
    rows = []
    for model in args.models.split(","):
        folder = args.folder / model
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([args.server, "export", model, str(folder)], check=True)
        network = Network(folder)
        frames = numpy.random.default_rng(1).standard_normal((8, 3, network.size, network.size), numpy.float32)
        (folder / "frames.f32").write_bytes(frames.tobytes())
        for batch in map(int, args.batches.split(",")):
            for threads in map(int, args.threads.split(",")):
                rows.append(row(args, model, folder, network, frames[:batch].copy(), threads))
                print(line(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"rows": rows}, indent=1))


def row(args, model, folder, network, frames, threads):
    batch = len(frames)
    peers = [kind(network, threads, batch, frames) for kind in (LiteRt, OnnxRuntime, OpenVino)]
    ours = Ours(args.server, folder, threads, batch)
    agree(ours, peers)
    everyone = [ours, *peers]
    millis = {one.name: [] for one in everyone}
    for round_number in range(args.rounds):
        for one in everyone[round_number % len(everyone):] + everyone[:round_number % len(everyone)]:
            guess = min(millis[one.name], default=None) or one.steps(1)[0]
            millis[one.name] += one.steps(max(1, int(TURN_SECS * 1000 / guess)))
    ours.close()
    judge = statistics.median if args.judge == "median" else min
    judged = {name: judge(times) for name, times in millis.items()}
    best = min((peer.name for peer in peers), key=judged.get)
    return {
        "model": model, "precision": "f32", "threads": threads, "batch": batch,
        "ours_millis": judged["tsm"], "best_peer": best, "best_peer_millis": judged[best],
        "ratio": judged["tsm"] / judged[best],
        "best_ratio": min(millis["tsm"]) / min(min(millis[peer.name]) for peer in peers),
        "all_median_millis": {name: statistics.median(times) for name, times in millis.items()},
        "all_best_millis": {name: min(times) for name, times in millis.items()},
    }


def agree(ours, peers):
    """The second step's logits, which see the first one's state, must be ours within the tolerance."""
    expected = ours.second_logits()
    largest = numpy.abs(expected).max()
    for peer in peers:
        off = numpy.abs(peer.second_logits() - expected).max() / largest
        if not off <= TOLERANCE:
            raise SystemExit(f"{peer.name} differs from ours by {off:.1e} of the largest logit")


def line(row):
    medians = ", ".join(f"{name} {millis:.2f}" for name, millis in row["all_median_millis"].items())
    bests = ", ".join(f"{name} {millis:.2f}" for name, millis in row["all_best_millis"].items())
    return (f"{row['model']}, {row['threads']} threads, batch {row['batch']}: ratio {row['ratio']:.3f} to "
            f"{row['best_peer']} (best steps {row['best_ratio']:.3f})\n  medians, ms: {medians}\n  bests, ms:   {bests}")


main()
