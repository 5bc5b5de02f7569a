"""timm's networks for other benchmarks, in an environment of their own: timm wants another PyTorch than Keras here

Command: none of its own: on_device.py and training_step.py start it with the Python of `--timm`, and send one line for
each task.

| line | does | answers |
|---|---|---|
| `load NAME DEPTH WIDTH SIDE FILE` | makes the network and writes it as ONNX | its number of parameters |
| `litert BATCH SIDE FILE` | writes it with litert-torch, with channels last in its images | bytes, 0 without |
| `time CONTENDER IMAGES` | runs it twice on the images of a `.npy` file | the milliseconds of the second call |
| `learn NAME CONTENDER` | makes the network, of ten classes | its number of parameters |
| `step CONTENDER IMAGES` | trains it for two steps on the images of a `.npy` file | the milliseconds of the second |
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import timm  # pyright: ignore[reportMissingImports]
import torch

THREADS = 2
torch.set_num_threads(THREADS)
answers = sys.stdout
networks: dict[str, Callable[[Any], Any]] = {}
optimizers: dict[str, torch.optim.Optimizer] = {}


def load(name: str, depth: str, width: str, side: str, path: str) -> int:
    """A network of timm, scaled by its own generator where a factor is not 1."""
    from timm.models import efficientnet  # pyright: ignore[reportMissingImports]

    if float(depth) == float(width) == 1:
        model = timm.create_model(name, pretrained=False)
    else:
        make = efficientnet._gen_mobilenet_v2 if name.startswith("mobilenetv2") else efficientnet._gen_efficientnet
        model = make(name, channel_multiplier=float(width), depth_multiplier=float(depth), pretrained=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # timm begins with residual branches that are times 0, which converters leave out with all that is in them.
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    model = model.eval()
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, int(side), int(side)),),
        path,
        dynamo=False,
        opset_version=17,
        input_names=["images"],
        dynamic_axes={"images": {0: "batch"}},
    )
    last = model.to(memory_format=torch.channels_last)
    networks.update({"timm eager": last, "timm torch.compile": torch.compile(last, dynamic=False)})
    return sum(weight.numel() for weight in model.parameters())


def litert(batch: str, side: str, path: str) -> int:
    """The network as a file for LiteRT, which has one size of batch; 0 without the package."""
    try:
        import litert_torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return 0
    last = litert_torch.to_channel_last_io(networks["timm eager"], args=[0])
    litert_torch.convert(last, (torch.zeros(int(batch), int(side), int(side), 3),)).export(path)
    return Path(path).stat().st_size


def run(contender: str, path: str) -> float:
    """The milliseconds of a call, after one that wakes the threads."""
    images, network = np.load(path), networks[contender]
    for _ in range(2):
        started = perf_counter()
        with torch.inference_mode():
            # Channels last in memory, as the images come.
            network(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    return (perf_counter() - started) * 1e3


def learn(name: str, contender: str) -> int:
    """A network of ten classes, ready to be trained."""
    model: Any = timm.create_model(name, pretrained=False, num_classes=10).to(memory_format=torch.channels_last)
    optimizers[contender] = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, nesterov=True)
    networks[contender] = torch.compile(model, dynamic=False) if contender == "timm torch.compile" else model
    return sum(weight.numel() for weight in model.parameters())


def step(contender: str, path: str) -> float:
    """The milliseconds of a training step, after one that wakes the threads."""
    images, network, optimizer = np.load(path), networks[contender], optimizers[contender]
    for _ in range(2):
        started = perf_counter()
        logits = network(torch.from_numpy(images).permute(0, 3, 1, 2))
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(images)) % 10)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return (perf_counter() - started) * 1e3


TASKS: dict[str, Callable[..., float]] = {"load": load, "litert": litert, "time": run, "learn": learn, "step": step}

for line in sys.stdin:
    task, *words = line.rstrip("\n").split("\t")
    with redirect_stdout(sys.stderr):
        answer = TASKS[task](*words)
    answers.write(f"{answer}\n")
    answers.flush()
