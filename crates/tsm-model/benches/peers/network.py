"""The exported network: its description, and its weights with batch norm folded."""

import json
import struct

import numpy


class Network:
    def __init__(self, folder):
        self.description = json.loads((folder / "network.json").read_text())
        self.tensors = read_safetensors(folder / "model.safetensors")
        self.size = self.description["size"]
        self.classes = self.description["classes"]

    def folded(self, unit):
        """Weight [o, i, k, k] and bias [o] of a convolution with its batch norm."""
        weight = self.tensors[unit["conv"] + ".weight"].astype(numpy.float64)
        norm = {f: self.tensors[f"{unit['norm']}.{f}"].astype(numpy.float64)
                for f in ("weight", "bias", "running_mean", "running_var")}
        scale = norm["weight"] / numpy.sqrt(norm["running_var"] + 1e-5)
        bias = norm["bias"] - norm["running_mean"] * scale
        return (weight * scale[:, None, None, None]).astype(numpy.float32), bias.astype(numpy.float32)

    def linear(self):
        name = self.description["linear"]
        return self.tensors[name + ".weight"], self.tensors[name + ".bias"]


def read_safetensors(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + at for at in entry["data_offsets"])
            tensors[name] = numpy.frombuffer(data[begin:end], numpy.float32).reshape(entry["shape"])
    return tensors


def walk(network, batch, graph):
    """Says the network to `graph`, layer by layer, with the folds as inputs and outputs of their own.

    `graph` has: frame(shape), conv(x, weight, bias, unit), activate(x, name), add(a, b), max_pool(x),
    state(x, fold) -> the fold of x replaced, mean_linear(x, weight, bias).
    """
    about = network.description

    def conv(x, unit):
        weight, bias = network.folded(unit)
        return graph.conv(x, weight, bias, unit)

    x = conv(graph.frame([batch, 3, network.size, network.size]), about["stem"])
    if about["pool"]:
        x = graph.max_pool(x)
    for block in about["blocks"]:
        y = graph.state(x, block["fold"]) if block["fold"] else x
        for unit in block["convs"]:
            y = conv(y, unit)
        around = block["shortcut"]
        if around == "identity":
            y = graph.add(y, x, block["activation"])
        elif around:
            y = graph.add(y, conv(x, around), block["activation"])
        x = y
    if about["last"]:
        x = conv(x, about["last"])
    graph.mean_linear(x, *network.linear())
