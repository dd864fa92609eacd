"""Training script of a ModelArts job: reads hyperparameters from arguments, prints a metric, writes a model.

The data are points (x, y) from a uniform distribution over the square from -1 to 1. A point is inside if
0.3 < x² + 0.5·y² < 0.75. The model is a logistic regression on the powers of x and y up to the fourth degree, trained
by stochastic gradient descent with momentum. The script prints the accuracy on validation data after each epoch: the
objective of a search. Pure Python, runs for about one second.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

Sample = tuple[list[float], int]


def features(x: float, y: float) -> list[float]:
    """Return the powers of x and y up to the fourth degree."""
    return [x**i * y**j for i in range(5) for j in range(5 - i)]


def samples(count: int, seed: int) -> list[Sample]:
    """Return points with their labels."""
    rng = random.Random(seed)
    points = [(rng.uniform(-1, 1), rng.uniform(-1, 1)) for _ in range(count)]
    return [(features(x, y), int(0.3 < x * x + 0.5 * y * y < 0.75)) for x, y in points]


def probability(weights: Sequence[float], inputs: Sequence[float]) -> float:
    """Return the probability that a point is inside."""
    score = sum(weight * value for weight, value in zip(weights, inputs, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def accuracy(weights: Sequence[float], data: Sequence[Sample]) -> float:
    """Return the share of points that are classified correctly."""
    return sum((probability(weights, inputs) > 0.5) == bool(label) for inputs, label in data) / len(data)


def train(learning_rate: float, momentum: float, epochs: int) -> Iterator[list[float]]:
    """Yield the weights after each epoch."""
    data = samples(600, seed=1)
    weights, step = [0.0] * len(data[0][0]), [0.0] * len(data[0][0])
    for epoch in range(epochs):
        random.Random(epoch).shuffle(data)
        for inputs, label in data:
            error = probability(weights, inputs) - label
            step = [momentum * s - learning_rate * error * value for s, value in zip(step, inputs, strict=True)]
            weights = [weight + s for weight, s in zip(weights, step, strict=True)]
        yield weights


def main() -> None:
    """Train with the arguments; write the model, its arguments and its accuracy on held-out data."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning_rate", type=float, default=0.001)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train_url", type=Path, help="folder to write the model to")
    arguments, _ = parser.parse_known_args()
    given = {name: getattr(arguments, name) for name in ("learning_rate", "momentum", "epochs")}
    print(f"Training with {given}")
    validation = samples(500, seed=2)
    weights: list[float] = []
    for weights in train(arguments.learning_rate, arguments.momentum, arguments.epochs):
        print(f"acc: {accuracy(weights, validation):.4f}", flush=True)
    held_out = accuracy(weights, samples(1000, seed=3))
    print(f"held_out_acc: {held_out:.4f}")
    if arguments.train_url:
        arguments.train_url.mkdir(parents=True, exist_ok=True)
        model = {"arguments": given, "held_out_acc": held_out, "weights": weights}
        (arguments.train_url / "model.json").write_text(json.dumps(model))


if __name__ == "__main__":
    main()
