"""The network as ONNX, for ONNX Runtime and OpenVINO."""

import numpy
from onnx import TensorProto, helper, numpy_helper


class OnnxGraph:
    def __init__(self):
        self.nodes, self.constants, self.inputs, self.outputs, self.shapes = [], [], [], [], {}

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind, inputs, shape, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        self.shapes[name] = shape
        return name

    def frame(self, shape):
        return self.input("frame", shape)

    def input(self, name, shape):
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.shapes[name] = shape
        return name

    def output(self, name, of):
        self.nodes.append(helper.make_node("Identity", [of], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, self.shapes[of]))

    def conv(self, x, weight, bias, unit):
        n, _, h, w = self.shapes[x]
        side = [(s + 2 * unit["padding"] - unit["kernel"]) // unit["stride"] + 1 for s in (h, w)]
        y = self.node("Conv", [x, self.constant(weight), self.constant(bias)], [n, weight.shape[0], *side],
                      kernel_shape=[unit["kernel"]] * 2, strides=[unit["stride"]] * 2,
                      pads=[unit["padding"]] * 4, group=unit["groups"])
        return self.activate(y, unit["activation"])

    def activate(self, x, name):
        if name == "Relu":
            return self.node("Relu", [x], self.shapes[x])
        if name == "Relu6":
            limits = [self.constant(numpy.array(v, numpy.float32)) for v in (0, 6)]
            return self.node("Clip", [x, *limits], self.shapes[x])
        return x

    def add(self, a, b, activation):
        return self.activate(self.node("Add", [a, b], self.shapes[a]), activation)

    def max_pool(self, x):
        n, c, h, w = self.shapes[x]
        return self.node("MaxPool", [x], [n, c, (h + 1) // 2, (w + 1) // 2],
                         kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])

    def cut(self, x, begin, end):
        n, _, h, w = self.shapes[x]
        ends = [self.constant(numpy.array([v], numpy.int64)) for v in (begin, end, 1)]
        return self.node("Slice", [x, *ends], [n, end - begin, h, w])

    def state(self, x, fold):
        n, c, h, w = self.shapes[x]
        number = len(self.inputs) - 1
        old = self.input(f"state{number}", [n, fold, h, w])
        self.output(f"next{number}", self.cut(x, 0, fold))
        return self.node("Concat", [old, self.cut(x, fold, c)], [n, c, h, w], axis=1)

    def mean_linear(self, x, weight, bias):
        n, c, _, _ = self.shapes[x]
        mean = self.node("Flatten", [self.node("GlobalAveragePool", [x], [n, c, 1, 1])], [n, c])
        y = self.node("Gemm", [mean, self.constant(weight), self.constant(bias)], [n, len(bias)], transB=1)
        self.output("logits", y)

    def model(self):
        graph = helper.make_graph(self.nodes, "tsm", self.inputs, self.outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
