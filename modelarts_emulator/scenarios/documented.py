"""The sample answer of the API reference (ShowAutoSearchTrials), cell by cell."""

from __future__ import annotations

from modelarts_emulator.script import Search, TrialScript

# trial_id, pid, batch_size, learning_rate, time_total_s, acc, loss
_TRIALS = (
    ("ae544174", "314", 32, 0.05512301741232006, "19.477163314819336", "0.0625", "0.0754"),
    ("ae548666", "315", 32, 0.0785570955603036, "3.601897954940796", "0.0", "0.0760"),
    ("ae54c0ea", "312", 16, 0.04015387428829642, "3.5978384017944336", "0.1875", "0.1469"),
    ("ae5503c0", "313", 32, 0.0340820322164706, "3.641200304031372", "0.25", "0.0716"),
    ("bef46590", "470", 32, 0.03656488928171769, "3.6120550632476807", "0.09375", "0.0740"),
    ("bef578f4", "499", 32, 0.008413169003970163, "3.6379287242889404", "0.1875", "0.0723"),
    ("bef5c584", "528", 64, 0.06297447200613912, "3.711118221282959", "0.046875", "0.0381"),
    ("bef60684", "557", 32, 0.04426479392014276, "3.6971280574798584", "0.0625", "0.0778"),
)


def documented() -> Search:
    """Return a Completed search whose trials are those of the API reference."""
    return Search(
        name="documented",
        objectives={"acc": "max"},
        num_samples=8,
        trials=[
            TrialScript(
                trial_id=trial_id,
                config={"batch_size": batch_size, "learning_rate": learning_rate},
                cells={
                    "pid": pid,
                    "training_iteration": "2",
                    "time_total_s": seconds,
                    "acc": acc,
                    "loss": f"tensor({loss}, device='cuda:0', requires_grad=True)",
                },
            )
            for trial_id, pid, batch_size, learning_rate, seconds, acc, loss in _TRIALS
        ],
    )
