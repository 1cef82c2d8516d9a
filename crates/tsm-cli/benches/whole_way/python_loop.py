"""What one would write in Python: OpenCV decodes and scales, ONNX Runtime steps; a JSON line a frame.

    python_loop.py MODEL.onnx VIDEO
"""

import json
import os
import sys

try:
    import cv2
    import numpy
    import onnxruntime
except ModuleNotFoundError as absent:
    said = f"{absent.name} is not installed; start `run` beside this script, which brings it"
    print(f"{sys.argv[0]}: {said}", file=sys.stderr)
    sys.exit(2)

MEAN = numpy.array([0.485, 0.456, 0.406], numpy.float32)
STD = numpy.array([0.229, 0.224, 0.225], numpy.float32)
SHORT_SIDE = 256
TOP_K = 5


class Step:
    """The network with the features it carries from frame to frame."""

    def __init__(self, path, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.feed = {i.name: numpy.zeros(i.shape, numpy.float32) for i in self.session.get_inputs()}
        self.names = [o.name for o in self.session.get_outputs()]
        self.size = self.feed["frame"].shape[-1]

    def logits(self, frame):
        self.feed["frame"] = frame
        results = dict(zip(self.names, self.session.run(None, self.feed)))
        for name, value in results.items():
            if name.startswith("next"):
                self.feed["state" + name[4:]] = value
        return results["logits"][0]


def prepared(picture, size):
    """The network's input [1, 3, size, size]: short side scaled, the middle cut out, RGB, normalised."""
    height, width, _ = picture.shape
    scale = SHORT_SIDE / min(height, width)
    scaled = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
    top, left = (scaled.shape[0] - size) // 2, (scaled.shape[1] - size) // 2
    rgb = scaled[top:top + size, left:left + size, ::-1]
    normalised = (rgb.astype(numpy.float32) * (1 / (255 * STD)) - MEAN / STD)
    return numpy.ascontiguousarray(normalised.transpose(2, 0, 1))[None]


def main():
    if len(sys.argv) != 3:
        print(f"{sys.argv[0]}: give MODEL.onnx and VIDEO", file=sys.stderr)
        sys.exit(2)
    print(json.dumps({"imported": True}), flush=True)
    threads = len(os.sched_getaffinity(0))
    cv2.setNumThreads(threads)
    step = Step(sys.argv[1], threads)
    video = cv2.VideoCapture(sys.argv[2])
    number = 0
    while True:
        is_there, picture = video.read()
        if not is_there:
            break
        logits = step.logits(prepared(picture, step.size))
        shares = numpy.exp(logits - logits.max())
        shares /= shares.sum()
        ranking = numpy.argsort(shares)[::-1][:TOP_K]
        line = {"frame": number, "top_k": [[int(i), float(shares[i])] for i in ranking]}
        print(json.dumps(line), flush=True)
        number += 1


main()
