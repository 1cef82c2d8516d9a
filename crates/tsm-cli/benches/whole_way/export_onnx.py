"""Writes the network as ONNX once, so that the loop reads a file as its users do: export_onnx.py FOLDER"""

import pathlib
import sys

PEERS = pathlib.Path(__file__).resolve().parents[3] / "tsm-model" / "benches" / "peers"
sys.path.insert(0, str(PEERS))

from network import Network, walk
from onnx_graph import OnnxGraph

folder = pathlib.Path(sys.argv[1])
graph = OnnxGraph()
walk(Network(folder), 1, graph)
(folder / "model.onnx").write_bytes(graph.model().SerializeToString())
