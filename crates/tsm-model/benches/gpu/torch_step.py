"""One way to run a step in PyTorch: eager or as a CUDA graph, contiguous or channels_last, frames that come as bytes or
as normalised numbers, batch norm folded or not."""

import copy
import statistics
import time

import torch

from networks import fold_norms
from vectors import MEAN, STD


class TorchStep:
    def __init__(self, network, streams, size, device, dtype, way, layout, frames, norm):
        self.name = f"{way}, {layout}, {frames}, batch norm {norm}"
        self.device, self.is_cuda = device, device.type == "cuda"
        network = copy.deepcopy(network)
        if norm == "folded":
            network = fold_norms(network)
        form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        self.network = network.to(device, dtype).to(memory_format=form)
        place = lambda *shape: torch.zeros(*shape, device=device, dtype=dtype).to(memory_format=form)
        self.frames = place(streams, 3, size, size)
        self.folds = [place(streams, *shape) for shape in network.fold_shapes(size)]
        pin = {"pin_memory": True} if self.is_cuda else {}
        self.bytes = None
        if frames == "bytes":
            # As `tsm` has them: red, green and blue of each pixel, normalised on the device.
            self.host_frames = torch.randint(0, 256, (streams, size, size, 3), dtype=torch.uint8)
            self.bytes = torch.zeros(streams, size, size, 3, dtype=torch.uint8, device=device)
            mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
            self.scale, self.offset = ((1 / (255 * std)).to(device, dtype), (-mean / std).to(device, dtype))
        else:
            self.host_frames = torch.randn(streams, 3, size, size).to(dtype).to(memory_format=form)
        self.arrived = self.frames if self.bytes is None else self.bytes
        if self.is_cuda:
            self.host_frames = self.host_frames.pin_memory()
        self.host_logits = torch.zeros(streams, 400, dtype=dtype, **pin)
        self.graph = None
        for _ in range(3):
            self.logits = self.work()
        if way == "graph" and self.is_cuda:
            self.capture()

    def capture(self):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.logits = self.work()
        self.graph = graph

    def work(self):
        """The step itself, on the device: the folds stay where they are and are overwritten."""
        if self.bytes is not None:
            self.frames.copy_(self.bytes.permute(0, 3, 1, 2)).mul_(self.scale).add_(self.offset)
        logits, new = self.network(self.frames, self.folds)
        for fold, value in zip(self.folds, new):
            fold.copy_(value)
        return logits

    def step(self):
        if self.graph is None:
            self.logits = self.work()
        else:
            self.graph.replay()

    def synchronise(self):
        if self.is_cuda:
            torch.cuda.synchronize()

    def end_to_end(self, secs):
        """Milliseconds a step, frames on the host to logits on the host."""
        millis, end = [], time.perf_counter() + secs
        while len(millis) < 5 or time.perf_counter() < end:
            began = time.perf_counter()
            self.arrived.copy_(self.host_frames, non_blocking=True)
            self.step()
            self.host_logits.copy_(self.logits, non_blocking=True)
            self.synchronise()
            millis.append((time.perf_counter() - began) * 1000)
        return millis

    def device_only(self, secs):
        """Milliseconds a step, frames on the device to logits on the host, as `tsm bench` measures it."""
        self.synchronise()
        millis, end = [], time.perf_counter() + secs
        while len(millis) < 5 or time.perf_counter() < end:
            began = time.perf_counter()
            self.step()
            self.host_logits.copy_(self.logits, non_blocking=True)
            self.synchronise()
            millis.append((time.perf_counter() - began) * 1000)
        return statistics.median(millis)
