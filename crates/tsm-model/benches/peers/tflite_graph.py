"""The network as a LiteRT flatbuffer, channels last, written directly."""

import flatbuffers
import numpy
from ai_edge_litert import schema_py_generated as schema

FUSED = {"None": 0, "Relu": 1, "Relu6": 3}
CODES = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "ADD": 0, "MAX_POOL_2D": 17, "CONCATENATION": 2,
         "STRIDED_SLICE": 45, "MEAN": 40, "FULLY_CONNECTED": 9, "PAD": 34}
FLOAT32, INT32 = 0, 2
SAME, VALID = 0, 1


class TfliteGraph:
    def __init__(self):
        self.tensors, self.buffers, self.operators, self.kinds = [], [schema.BufferT()], [], []
        self.inputs, self.outputs, self.names = [], [], {}

    def tensor(self, shape, values=None, kind=FLOAT32):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name = list(shape), kind, f"t{len(self.tensors)}"
        tensor.buffer = 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = numpy.frombuffer(numpy.ascontiguousarray(values).tobytes(), numpy.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, values):
        kind = INT32 if values.dtype == numpy.int32 else FLOAT32
        return self.tensor(values.shape, values, kind)

    def shape(self, x):
        return self.tensors[x].shape

    def operator(self, kind, inputs, shape, options_type=0, options=None):
        y = self.tensor(shape)
        operator = schema.OperatorT()
        if kind not in self.kinds:
            self.kinds.append(kind)
        operator.opcodeIndex = self.kinds.index(kind)
        operator.inputs, operator.outputs = inputs, [y]
        operator.builtinOptionsType, operator.builtinOptions = options_type, options
        self.operators.append(operator)
        return y

    def input(self, name, shape):
        x = self.tensor(shape)
        self.tensors[x].name = name
        self.inputs.append(x)
        return x

    def frame(self, shape):
        n, c, h, w = shape
        return self.input("frame", [n, h, w, c])

    def conv(self, x, weight, bias, unit):
        kernel, stride, padding = unit["kernel"], unit["stride"], unit["padding"]
        n, h, w, c = self.shape(x)
        side = [(s + 2 * padding - kernel) // stride + 1 for s in (h, w)]
        is_same = all(stride == 1 or kernel == 1 for _ in (h, w))
        if not is_same and padding:
            pads = self.constant(numpy.array([[0, 0], [padding] * 2, [padding] * 2, [0, 0]], numpy.int32))
            shape = [n, h + 2 * padding, w + 2 * padding, c]
            x = self.operator("PAD", [x, pads], shape, schema.BuiltinOptions.PadOptions, schema.PadOptionsT())
        is_depthwise = unit["groups"] > 1
        options = schema.DepthwiseConv2DOptionsT() if is_depthwise else schema.Conv2DOptionsT()
        options.padding = SAME if is_same else VALID
        options.strideW = options.strideH = stride
        options.dilationWFactor = options.dilationHFactor = 1
        options.fusedActivationFunction = FUSED[unit["activation"]]
        if is_depthwise:
            options.depthMultiplier = 1
            kind, of, weight = "DEPTHWISE_CONV_2D", schema.BuiltinOptions.DepthwiseConv2DOptions, weight.transpose(1, 2, 3, 0)
        else:
            kind, of, weight = "CONV_2D", schema.BuiltinOptions.Conv2DOptions, weight.transpose(0, 2, 3, 1)
        inputs = [x, self.constant(weight), self.constant(bias)]
        return self.operator(kind, inputs, [n, *side, len(bias)], of, options)

    def add(self, a, b, activation):
        options = schema.AddOptionsT()
        options.fusedActivationFunction = FUSED[activation]
        return self.operator("ADD", [a, b], self.shape(a), schema.BuiltinOptions.AddOptions, options)

    def max_pool(self, x):
        n, h, w, c = self.shape(x)
        pads = self.constant(numpy.array([[0, 0], [1, 1], [1, 1], [0, 0]], numpy.int32))
        x = self.operator("PAD", [x, pads], [n, h + 2, w + 2, c], schema.BuiltinOptions.PadOptions, schema.PadOptionsT())
        options = schema.Pool2DOptionsT()
        options.padding, options.fusedActivationFunction = VALID, 0
        options.strideW = options.strideH = 2
        options.filterWidth = options.filterHeight = 3
        shape = [n, (h + 1) // 2, (w + 1) // 2, c]
        return self.operator("MAX_POOL_2D", [x], shape, schema.BuiltinOptions.Pool2DOptions, options)

    def cut(self, x, begin, end):
        n, h, w, _ = self.shape(x)
        ends = [[0, 0, 0, begin], [n, h, w, end], [1, 1, 1, 1]]
        inputs = [x, *(self.constant(numpy.array(v, numpy.int32)) for v in ends)]
        return self.operator("STRIDED_SLICE", inputs, [n, h, w, end - begin],
                             schema.BuiltinOptions.StridedSliceOptions, schema.StridedSliceOptionsT())

    def state(self, x, fold):
        n, h, w, c = self.shape(x)
        old = self.input(f"state{len(self.inputs) - 1}", [n, h, w, fold])
        self.outputs.append(self.cut(x, 0, fold))
        options = schema.ConcatenationOptionsT()
        options.axis = 3
        return self.operator("CONCATENATION", [old, self.cut(x, fold, c)], [n, h, w, c],
                             schema.BuiltinOptions.ConcatenationOptions, options)

    def mean_linear(self, x, weight, bias):
        n, _, _, c = self.shape(x)
        options = schema.ReducerOptionsT()
        axes = self.constant(numpy.array([1, 2], numpy.int32))
        mean = self.operator("MEAN", [x, axes], [n, c], schema.BuiltinOptions.ReducerOptions, options)
        inputs = [mean, self.constant(weight), self.constant(bias)]
        self.outputs.append(self.operator("FULLY_CONNECTED", inputs, [n, len(bias)],
                                          schema.BuiltinOptions.FullyConnectedOptions, schema.FullyConnectedOptionsT()))

    def model(self):
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, self.operators, self.inputs, self.outputs
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = []
        for kind in self.kinds:
            code = schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = CODES[kind]
            code.version = 1
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
