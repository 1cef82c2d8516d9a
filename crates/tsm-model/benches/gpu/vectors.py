"""Hands PyTorch's network and what it says to `tsm`: both sides are then known to run the same one."""

import ctypes
import json
import struct
import subprocess

import torch

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
KINDS = {torch.float32: "F32", torch.uint8: "U8"}


def write_safetensors(path, tensors):
    header, data = {}, []
    at = 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        flat = ctypes.string_at(tensor.data_ptr(), tensor.nbytes)  # as .numpy().tobytes(), without numpy
        header[name] = {"dtype": KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + len(flat)]}
        data.append(flat)
        at += len(flat)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def export(network, path):
    """The weights under torchvision's names; `tsm` reads such a file with --shift causal."""
    write_safetensors(path, {name: value for name, value in network.state_dict().items() if "num_batches" not in name})


def check_same(tsm, network, model, folder, size=64, frames=4):
    """Whether `tsm verify` finds PyTorch's logits and folds of a short stream, on the CPU."""
    torch.manual_seed(2)
    pixels = torch.randint(0, 256, (frames, size, size, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    pictures = (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std
    folds = [torch.zeros(1, *shape) for shape in network.fold_shapes(size)]
    rows = []
    for picture in pictures:
        logits, folds = network(picture[None], folds)
        folds = [fold.clone() for fold in folds]
        rows.append(logits)
    states = {f"state.{index}": fold for index, fold in enumerate(folds)}
    largest = max(float(value.abs().max()) for value in [torch.cat(rows), *folds])
    vectors = folder / "vectors.safetensors"
    write_safetensors(vectors, {"frames_u8": pixels, "logits": torch.cat(rows), **states})
    command = [tsm, "verify", "--model", str(model), "--shift", "causal", "--vectors", str(vectors),
               "--tolerance", str(1e-4 * max(largest, 1.0))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"compare: tsm runs another network: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
