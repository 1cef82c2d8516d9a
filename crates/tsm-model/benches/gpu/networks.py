"""MobileNetV2 and ResNet-50 as streaming temporal shift networks in plain PyTorch, with torchvision's names.

A step takes frames [n, 3, h, w] and the folds of the last frames, and gives logits and this frame's folds.
"""

import torch
from torch import nn
from torch.nn import functional

SHIFT_DIV = 8


def shifted(x, fold):
    """The input of a shifted block: its first channels are the last frame's. Gives this frame's fold, too."""
    channels = x.shape[1] // SHIFT_DIV
    return torch.cat([fold, x[:, channels:]], 1), x[:, :channels]


class ConvNorm(nn.Sequential):
    def __init__(self, inputs, outputs, kernel, stride=1, groups=1, activation=True):
        layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
        super().__init__(*layers, *([nn.ReLU6(inplace=True)] if activation else []))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, outputs, stride, expand):
        super().__init__()
        hidden = inputs * expand
        layers = [ConvNorm(inputs, hidden, 1)] if expand > 1 else []
        layers += [ConvNorm(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(*layers)
        self.shifts, self.inputs = stride == 1 and inputs == outputs, inputs

    def forward(self, x, fold):
        if not self.shifts:
            return self.conv(x), None
        y, fold = shifted(x, fold)
        return x + self.conv(y), fold


class MobileNetV2(nn.Module):
    def __init__(self, classes):
        super().__init__()
        layers, inputs = [ConvNorm(3, 32, 3, 2)], 32
        for expand, outputs, count, stride in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
                                               (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]:
            for index in range(count):
                layers.append(InvertedResidual(inputs, outputs, stride if index == 0 else 1, expand))
                inputs = outputs
        layers.append(ConvNorm(inputs, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(1280, classes))

    def forward(self, x, folds):
        folds, new = iter(folds), []
        for layer in self.features:
            if isinstance(layer, InvertedResidual):
                x, fold = layer(x, next(folds) if layer.shifts else None)
                new += [] if fold is None else [fold]
            else:
                x = layer(x)
        return self.classifier(x.mean([2, 3])), new

    def fold_shapes(self, size):
        shapes, side = [], size // 2
        for layer in self.features:
            if isinstance(layer, InvertedResidual):
                if layer.shifts:
                    shapes.append((layer.inputs // SHIFT_DIV, side, side))
                side //= max(module.stride[0] for module in layer.modules() if isinstance(module, nn.Conv2d))
        return shapes


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.stride, self.inputs = stride, inputs
        self.downsample = None
        if stride != 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x, fold):
        y, fold = shifted(x, fold)
        y = functional.relu_(self.bn1(self.conv1(y)))
        y = functional.relu_(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu_(y + (x if self.downsample is None else self.downsample(x))), fold


class ResNet50(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for stage, (width, count) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
            blocks = []
            for index in range(count):
                blocks.append(Bottleneck(inputs, width, 2 if index == 0 and stage > 1 else 1))
                inputs = 4 * width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def blocks(self):
        return [block for stage in (self.layer1, self.layer2, self.layer3, self.layer4) for block in stage]

    def forward(self, x, folds):
        x = functional.max_pool2d(functional.relu_(self.bn1(self.conv1(x))), 3, 2, 1)
        new = []
        for block, fold in zip(self.blocks(), folds):
            x, fold = block(x, fold)
            new.append(fold)
        return self.fc(x.mean([2, 3])), new

    def fold_shapes(self, size):
        shapes, side = [], size // 4
        for block in self.blocks():
            shapes.append((block.inputs // SHIFT_DIV, side, side))
            side //= block.stride
        return shapes


NETWORKS = {"mobilenetv2": MobileNetV2, "resnet50": ResNet50}


def made_up(name, classes, seed=1):
    """A network with random weights and statistics that keep activations in the range of half precision."""
    torch.manual_seed(seed)
    network = NETWORKS[name](classes).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.0)
            nn.init.uniform_(module.bias, -0.1, 0.1)
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
    return network.requires_grad_(False)


def fold_norms(network):
    """Puts each batch norm into the convolution before it."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for parent in list(network.modules()):
        before = None
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and before is not None:
                setattr(parent, before[0], fuse_conv_bn_eval(before[1], child))
                setattr(parent, name, nn.Identity())
            before = (name, child) if isinstance(child, nn.Conv2d) else None
    return network
