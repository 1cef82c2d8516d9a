"""Each runtime with the network loaded, behind one shape: outputs of two steps, and the times of more."""

import json
import subprocess
import time

import numpy

from network import walk
from onnx_graph import OnnxGraph
from tflite_graph import TfliteGraph


class InProcess:
    """A runtime in this process. Its states go in as inputs and come out as outputs, as its users have them."""

    def steps(self, count):
        millis = []
        for _ in range(count):
            began = time.perf_counter()
            self.step()
            millis.append((time.perf_counter() - began) * 1000)
        return millis

    def second_logits(self):
        self.step()
        self.step()
        return self.logits().reshape(-1)


class OnnxRuntime(InProcess):
    name = "onnxruntime"

    def __init__(self, network, threads, batch, frames):
        import onnxruntime

        graph = OnnxGraph()
        walk(network, batch, graph)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        self.session = onnxruntime.InferenceSession(graph.model().SerializeToString(), options,
                                                    providers=["CPUExecutionProvider"])
        self.feed = {i.name: numpy.zeros(i.shape, numpy.float32) for i in self.session.get_inputs()}
        self.feed["frame"] = frames
        self.names = [o.name for o in self.session.get_outputs()]

    def step(self):
        self.results = dict(zip(self.names, self.session.run(None, self.feed)))
        for name, value in self.results.items():
            if name.startswith("next"):
                self.feed["state" + name[4:]] = value

    def logits(self):
        return self.results["logits"]


class OpenVino(InProcess):
    name = "openvino"

    def __init__(self, network, threads, batch, frames):
        import openvino

        graph = OnnxGraph()
        walk(network, batch, graph)
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(graph.model().SerializeToString()), "CPU", {
            "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32"})
        self.request = compiled.create_infer_request()
        # Tensors that are shared with the runtime: its state's outputs become its inputs by a swap.
        self.inputs = {i.any_name: openvino.Tensor(numpy.zeros(tuple(i.shape), numpy.float32))
                       for i in compiled.inputs}
        self.inputs["frame"] = openvino.Tensor(frames)
        self.outputs = {o.any_name: openvino.Tensor(numpy.zeros(tuple(o.shape), numpy.float32))
                        for o in compiled.outputs}
        for name, tensor in [*self.inputs.items(), *self.outputs.items()]:
            self.request.set_tensor(name, tensor)
        self.states = [name[4:] for name in self.outputs if name.startswith("next")]

    def step(self):
        self.request.infer()
        for number in self.states:
            old, new = self.inputs["state" + number], self.outputs["next" + number]
            self.inputs["state" + number], self.outputs["next" + number] = new, old
            self.request.set_tensor("state" + number, new)
            self.request.set_tensor("next" + number, old)

    def logits(self):
        return self.outputs["logits"].data


class LiteRt(InProcess):
    name = "litert"

    def __init__(self, network, threads, batch, frames):
        from ai_edge_litert.interpreter import Interpreter

        graph = TfliteGraph()
        walk(network, batch, graph)
        self.interpreter = Interpreter(model_content=graph.model(), num_threads=threads)
        self.interpreter.allocate_tensors()
        inputs = [i["index"] for i in self.interpreter.get_input_details()]
        outputs = [o["index"] for o in self.interpreter.get_output_details()]
        self.frame, self.states = inputs[0], list(zip(inputs[1:], outputs[:-1]))
        self.result = outputs[-1]
        for state, _ in self.states:
            self.interpreter.tensor(state)()[:] = 0
        self.interpreter.set_tensor(self.frame, numpy.ascontiguousarray(frames.transpose(0, 2, 3, 1)))

    def step(self):
        self.interpreter.invoke()
        for old, new in self.states:
            self.interpreter.tensor(old)()[:] = self.interpreter.tensor(new)()

    def logits(self):
        return self.interpreter.get_tensor(self.result)


class Ours:
    """Ours, in a process of its own that waits between its turns."""

    name = "tsm"

    def __init__(self, server, folder, threads, batch):
        command = [server, "serve", str(folder), str(threads), str(batch)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = numpy.array(json.loads(self.process.stdout.readline()), numpy.float32)

    def second_logits(self):
        return self.first

    def steps(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()
