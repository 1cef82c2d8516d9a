#!/usr/bin/env python3
"""Writes what PyTorch gives for each training operation, forward and backward, for the tests of tsm-kernels.

    pip install torch numpy safetensors
    python3 scripts/training_goldens.py crates/tsm-kernels/tests/data/training.safetensors

Of each case: its inputs (x, weight, bias, ...), the output y, a gradient dy of it, and the gradients of the inputs
(d_x, d_weight, ...), under 'case/name'. The cases' strides and paddings stand in `golden_tests.rs` beside their names.
"""

import sys

try:
    import torch
    from safetensors.torch import save_file
    from torch.nn import functional as F
except ModuleNotFoundError as absent:
    print(f"{sys.argv[0]}: {absent.name} is not installed; run: pip install torch numpy safetensors", file=sys.stderr)
    sys.exit(2)

SEGMENTS = 4


def shift(x, past, future):
    """Channels `past` from the frame before, `future` from the one behind."""
    clips = x.view(-1, SEGMENTS, *x.shape[1:])
    out = clips.clone()
    out[:, 1:, past], out[:, 0, past] = clips[:, :-1, past], 0
    out[:, :-1, future], out[:, -1, future] = clips[:, 1:, future], 0
    return out.reshape(x.shape)


def conv(stride, padding):
    return lambda x, weight: F.conv2d(x, weight, None, stride, padding)


def depthwise(stride):
    return lambda x, weight: F.conv2d(x, weight, None, stride, 1, groups=x.shape[1])


def live_norm(activation):
    return lambda x, weight, bias: activation(F.batch_norm(x, None, None, weight, bias, True, 0.1, 1e-5))


def frozen_norm(activation):
    return lambda x, weight, bias, mean, variance: activation(F.batch_norm(x, mean, variance, weight, bias, False, 0.1, 1e-5))


def same(x):
    return x


CASES = {
    "conv_1x1": (conv(1, 0), {"x": (2, 6, 5, 7), "weight": (4, 6, 1, 1)}),
    "conv_1x1_stride_2": (conv(2, 0), {"x": (2, 4, 6, 7), "weight": (5, 4, 1, 1)}),
    "conv_3x3": (conv(1, 1), {"x": (2, 3, 6, 5), "weight": (4, 3, 3, 3)}),
    "conv_3x3_stride_2_odd": (conv(2, 1), {"x": (2, 3, 9, 8), "weight": (4, 3, 3, 3)}),
    "conv_3x3_stride_2_even": (conv(2, 1), {"x": (2, 3, 8, 8), "weight": (4, 3, 3, 3)}),
    "conv_7x7_stride_2": (conv(2, 3), {"x": (1, 3, 13, 12), "weight": (3, 3, 7, 7)}),
    "depthwise": (depthwise(1), {"x": (2, 3, 7, 6), "weight": (3, 1, 3, 3)}),
    "depthwise_stride_2_odd": (depthwise(2), {"x": (2, 3, 9, 8), "weight": (3, 1, 3, 3)}),
    "depthwise_stride_2_even": (depthwise(2), {"x": (2, 3, 8, 10), "weight": (3, 1, 3, 3)}),
    "live_norm": (live_norm(same), {"x": (3, 4, 5, 3), "weight": (4,), "bias": (4,)}),
    "live_norm_relu": (live_norm(F.relu), {"x": (3, 4, 5, 3), "weight": (4,), "bias": (4,)}),
    "live_norm_relu6": (live_norm(F.relu6), {"x": (3, 4, 5, 3), "weight": (4,), "bias": (4,)}),
    "frozen_norm_relu": (frozen_norm(F.relu), {"x": (2, 4, 5, 3), "weight": (4,), "bias": (4,), "mean": (4,), "variance": (4,)}),
    "frozen_norm_relu6": (frozen_norm(F.relu6), {"x": (2, 4, 5, 3), "weight": (4,), "bias": (4,), "mean": (4,), "variance": (4,)}),
    "max_pool": (lambda x: F.max_pool2d(F.relu(x), 3, 2, 1), {"x": (2, 3, 9, 8)}),
    "mean_pool": (lambda x: x.mean((2, 3)), {"x": (3, 4, 5, 3)}),
    "add_relu": (lambda x, other: F.relu(x + other), {"x": (2, 3, 4, 5), "other": (2, 3, 4, 5)}),
    "shift_causal": (lambda x: shift(x, slice(0, 1), slice(0, 0)), {"x": (8, 8, 2, 2)}),
    "shift_mit": (lambda x: shift(x, slice(1, 2), slice(0, 1)), {"x": (8, 8, 2, 2)}),
    "shift_paddle": (lambda x: shift(x, slice(0, 2), slice(2, 5)), {"x": (4, 20, 2, 2)}),
}


def main(path):
    torch.manual_seed(10)
    tensors = {}
    for name, (operation, shapes) in CASES.items():
        inputs = {key: torch.randn(shape) * 2 for key, shape in shapes.items()}
        if "variance" in inputs:
            inputs["variance"] = inputs["variance"].square() + 0.5
        statistics = ("mean", "variance")
        for key, value in inputs.items():
            value.requires_grad_(key not in statistics)
        y = operation(**inputs)
        dy = torch.randn(y.shape)
        y.backward(dy)
        for key, value in inputs.items():
            tensors[f"{name}/{key}"] = value.detach()
            if key not in statistics:
                tensors[f"{name}/d_{key}"] = value.grad
        tensors[f"{name}/y"], tensors[f"{name}/dy"] = y.detach(), dy
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, path, {"made_by": f"scripts/training_goldens.py with PyTorch {torch.__version__}"})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(f"{sys.argv[0]}: give the one file to write, such as training.safetensors", file=sys.stderr)
        sys.exit(2)
    main(sys.argv[1])
