"""Writes the network as ONNX once, so that the loop reads a file as its users do: export_onnx.py FOLDER"""

import pathlib
import sys

PEERS = pathlib.Path(__file__).resolve().parents[3] / "tsm-model" / "benches" / "peers"
sys.path.insert(0, str(PEERS))

try:
    from network import Network, walk
    from onnx_graph import OnnxGraph
except ModuleNotFoundError as absent:
    said = f"{absent.name} is not installed; start `run` beside this script, which brings it"
    print(f"{sys.argv[0]}: {said}", file=sys.stderr)
    sys.exit(2)
if len(sys.argv) != 2:
    print(f"{sys.argv[0]}: give the one folder with model.safetensors and network.json", file=sys.stderr)
    sys.exit(2)

folder = pathlib.Path(sys.argv[1])
graph = OnnxGraph()
walk(Network(folder), 1, graph)
(folder / "model.onnx").write_bytes(graph.model().SerializeToString())
