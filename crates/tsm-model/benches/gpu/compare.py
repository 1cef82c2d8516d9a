"""Runs PyTorch's step and ours in turn on one GPU and prints the ratios; see `run`."""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

try:
    import torch

    import vectors
    from networks import made_up
    from torch_step import TorchStep
except ModuleNotFoundError as absent:
    said = f"{absent.name} is not installed; name a Python that has it: run --python FILE"
    print(f"{sys.argv[0]}: {said}", file=sys.stderr)
    sys.exit(2)

CLASSES = 400
# Streams up to which all ways stay on the GPU for the second round: with more their memory together is too large.
MOST_KEPT = 32
DTYPES = {"f32": torch.float32, "f16": torch.float16}


def main():
    args = arguments()
    torch.set_grad_enabled(False)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True  # the fastest algorithm that cuDNN has
    device = torch.device("cpu" if args.dry_run else "cuda")
    if not args.dry_run and not torch.cuda.is_available():
        raise SystemExit("compare: PyTorch finds no GPU; --dry-run tries the script on a CPU")
    where = "cpu (dry run)" if args.dry_run else torch.cuda.get_device_name()
    print(f"{where}; PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}; f32 without TF32", flush=True)
    print(HEAD, flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in args.networks:
            network = made_up(name, CLASSES)
            model = folder / f"{name}.safetensors"
            vectors.export(network, model)
            vectors.check_same(args.tsm, network, model, folder)
            for dtype in args.types:
                for streams in args.streams:
                    rows.append(row(args, name, network, model, dtype, streams, device))
                    print(line(rows[-1]), flush=True)
    if args.json:
        report = {"device": where, "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
                  "cuda": torch.version.cuda, "tf32": False, "size_px": args.size, "rows": rows}
        args.json.write_text(json.dumps(report, indent=1))


def arguments():
    here = pathlib.Path(__file__).resolve()
    parser = argparse.ArgumentParser(prog="run")
    parser.add_argument("--short", action="store_true", help="1 and 64 streams, folded batch norm: a few minutes")
    parser.add_argument("--dry-run", action="store_true", help="on a CPU, with small pictures; the figures mean nothing")
    parser.add_argument("--tsm", help="the program [target/release/tsm, in a package ../tsm]")
    parser.add_argument("--cuda-libs", help="handed on to tsm [PyTorch's own]")
    parser.add_argument("--networks", type=words, default=["mobilenetv2", "resnet50"])
    parser.add_argument("--types", type=words, help="f32,f16")
    parser.add_argument("--streams", type=lambda text: [int(word) for word in words(text)])
    parser.add_argument("--json", type=pathlib.Path, help="where the rows go as JSON")
    args = parser.parse_args()
    packaged, built = here.parents[1] / "tsm", here.parents[4] / "target/release/tsm" if len(here.parents) > 4 else None
    args.tsm = args.tsm or str(packaged if packaged.is_file() else built)
    if not pathlib.Path(args.tsm).is_file():
        parser.error(f"no {args.tsm}; name the program with --tsm")
    args.size = 64 if args.dry_run else 224
    args.types = args.types or (["f32"] if args.dry_run else ["f32", "f16"])
    args.streams = args.streams or ([1, 2] if args.dry_run else [1, 64] if args.short else [1, 8, 64, 256])
    args.norms = ["folded"] if args.short or args.dry_run else ["folded", "live"]
    args.secs = 0.02 if args.dry_run else 0.25 if args.short else 0.6
    if not args.dry_run and not args.cuda_libs:
        # site-packages, where PyTorch's own CUDA libraries lie in nvidia/
        args.cuda_libs = str(pathlib.Path(torch.__file__).resolve().parents[1])
    args.bench_flags = subprocess.run([args.tsm, "bench", "--help"], capture_output=True, text=True).stdout
    return args


def words(text):
    return text.split(",")


def row(args, name, network, model, dtype, streams, device):
    """All ways of PyTorch, ours, and all of PyTorch again: what disturbs the machine disturbs both."""
    ways = [(way, layout, frames, norm) for way in ("eager", "graph") for layout in ("contiguous", "channels_last")
            for frames in ("bytes", "numbers") for norm in args.norms]
    millis, device_millis, kept = {}, {}, {}
    ours = None
    for round_number in range(2):
        for index, (way, layout, frames, norm) in enumerate(ways):
            try:
                step = kept.get((way, layout, frames, norm)) or TorchStep(
                    network, streams, args.size, device, DTYPES[dtype], way, layout, frames, norm)
                key = (way, step.name)
                millis.setdefault(key, []).extend(step.end_to_end(args.secs / 2))
                device_millis.setdefault(key, []).append(step.device_only(args.secs / 2))
                if streams <= MOST_KEPT:
                    kept[way, layout, frames, norm] = step
            except torch.OutOfMemoryError:
                print(f"skipped: {name} {dtype} {streams} streams, {way}, {layout}, {frames}: the GPU is too small", file=sys.stderr)
            step = None
            if device.type == "cuda" and streams > MOST_KEPT:
                torch.cuda.empty_cache()
            if round_number == 0 and index == len(ways) - 1:
                ours = tsm_bench(args, model, dtype, streams)
    kept.clear()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    best = {way: min((one for one in millis.items() if one[0][0] == way), key=lambda one: statistics.median(one[1]), default=None)
            for way in ("eager", "graph")}
    result = {"network": name, "data_type": dtype, "streams": streams, "tsm": ours}
    for way, found in best.items():
        if found:
            times = sorted(found[1])
            result[way] = {"way": found[0][1], "p50_millis": statistics.median(times), "p99_millis": times[len(times) * 99 // 100],
                           "device_millis": min(device_millis[found[0]])}
            if ours and "p50_millis" in ours:
                result[f"{way}_over_tsm"] = result[way]["p50_millis"] / ours["p50_millis"]
    result["all_p50_millis"] = {key[1]: statistics.median(times) for key, times in millis.items()}
    return result


def tsm_bench(args, model, dtype, streams):
    """`tsm bench --json` of the same network, or why there is none."""
    command = [args.tsm, "bench", "--json", "--batch", str(streams), "--model", str(model), "--shift", "causal"]
    if not args.dry_run:
        if "--device" not in args.bench_flags:
            return {"error": "this tsm bench has no --device"}
        command += ["--device", "cuda"]
        if "--cuda-libs" in args.bench_flags:
            command += ["--cuda-libs", args.cuda_libs]
    flag = re.search(r"--(data-type|dtype|precision|type)\b", args.bench_flags)
    if flag:
        command += [flag.group(0), dtype]
    elif dtype != "f32":
        return {"error": f"this tsm bench has no {dtype}"}
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]}
    figures = json.loads(done.stdout)
    figures.pop("ms", None)
    return figures


HEAD = f"{'network':<12} type streams {'tsm p50':>9} {'eager':>9} {'graph':>9} {'on device: tsm':>14} {'graph':>9} {'eager/tsm':>9} {'graph/tsm':>9}  best ways"


def line(row):
    number = lambda value: f"{value:9.3f}" if value is not None else f"{'-':>9}"
    at = lambda *path: number(dig(row, path))
    ways = "; ".join(row[way]["way"] for way in ("eager", "graph") if way in row)
    error = dig(row, ("tsm", "error"))
    return (f"{row['network']:<12} {row['data_type']:<4} {row['streams']:>7} {at('tsm', 'p50_millis')} {at('eager', 'p50_millis')} "
            f"{at('graph', 'p50_millis')} {at('tsm', 'on_device_p50_millis'):>14} {at('graph', 'device_millis')} {at('eager_over_tsm')} {at('graph_over_tsm')}  {ways}"
            + (f"  tsm: {error}" if error else ""))


def dig(value, path):
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


if __name__ == "__main__":
    main()
