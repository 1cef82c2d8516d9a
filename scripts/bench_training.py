#!/usr/bin/env python3
"""Times a training step of MobileNetV2 in PyTorch, beside `cargo bench -p tsm-kernels --bench training`.

    pip install torch
    python3 scripts/bench_training.py [--threads 2] [--frames 16] [--steps 12]

The network, the clips and the optimiser of the Rust bench: 8 segments, 224x224, live batch norm, causal shift,
mean over the segments, SGD with momentum; once in PyTorch's own layout, once in channels_last.
CPU ms count all threads, so they tell about a busy machine what the clock cannot.
"""

import argparse
import resource
import sys
import time

try:
    import torch
    from torch import nn
except ModuleNotFoundError as absent:
    print(f"{sys.argv[0]}: {absent.name} is not installed; run: pip install torch", file=sys.stderr)
    sys.exit(2)

SEGMENTS, CLASSES = 8, 21
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def layer(inputs, outputs, kernel, stride=1, groups=1, activation=True):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    parts = [conv, nn.BatchNorm2d(outputs)]
    return parts + [nn.ReLU6(inplace=True)] if activation else parts


def shifted(x):
    n, c, h, w = x.shape
    clips, fold = x.view(-1, SEGMENTS, c, h, w), c // 8
    out = torch.zeros_like(clips)
    out[:, 1:, :fold] = clips[:, :-1, :fold]
    out[:, :, fold:] = clips[:, :, fold:]
    return out.view(n, c, h, w)


class Block(nn.Module):
    def __init__(self, inputs, outputs, expansion, stride):
        super().__init__()
        hidden = inputs * expansion
        layers = layer(inputs, hidden, 1) if expansion > 1 else []
        layers += layer(hidden, hidden, 3, stride, hidden) + layer(hidden, outputs, 1, activation=False)
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs
        self.shifts = self.residual and expansion > 1

    def forward(self, x):
        y = self.layers(shifted(x) if self.shifts else x)
        return x + y if self.residual else y


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        parts, inputs = layer(3, 32, 3, 2), 32
        for expansion, outputs, count, stride in STAGES:
            for i in range(count):
                parts.append(Block(inputs, outputs, expansion, stride if i == 0 else 1))
                inputs = outputs
        self.features = nn.Sequential(*parts, *layer(inputs, 1280, 1))
        self.classifier = nn.Linear(1280, CLASSES)

    def forward(self, x):
        features = self.features(x).mean((2, 3))
        return self.classifier(features).view(-1, SEGMENTS, CLASSES).mean(1)


def cpu_ms():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1e3


def run(name, memory_format, frames, steps):
    torch.manual_seed(0)
    network = Network().to(memory_format=memory_format)
    optimiser = torch.optim.SGD(network.parameters(), 0.001, 0.9)
    x = torch.randn(frames, 3, 224, 224).to(memory_format=memory_format)
    labels = torch.zeros(frames // SEGMENTS, dtype=torch.long)
    times = []
    for _ in range(steps):
        start, cpu = time.perf_counter(), cpu_ms()
        loss = nn.functional.cross_entropy(network(x), labels)
        forward = time.perf_counter()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        end = time.perf_counter()
        times.append(((end - start) * 1e3, (forward - start) * 1e3, cpu_ms() - cpu))
    total, forward, cpu = min(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    least = min(cpu for _, _, cpu in times)
    print(f"{name:14} best {total:7.1f} ms (forward {forward:6.1f}, CPU {cpu:7.1f}), least CPU {least:7.1f} ms, peak {peak:.0f} MiB", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=2 * SEGMENTS)
    parser.add_argument("--steps", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"PyTorch {torch.__version__}, {args.threads} threads, {args.frames} frames of 224x224")
    run("eager", torch.contiguous_format, args.frames, args.steps)
    run("channels_last", torch.channels_last, args.frames, args.steps)
