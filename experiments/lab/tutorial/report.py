"""What a run prints: an epoch as it is done, and the tables at the end."""

from pathlib import Path

from tensorboardX import SummaryWriter

from lab.history import METRICS, History
from lab.tables import Table
from lab.tutorial.settings import PUBLISHED, Settings


def headings() -> str:
    """What stands above the lines of the epochs."""
    line = f"{'epoch':<10} " + "  ".join(f"{metric:<15}" for metric in METRICS)
    explained = "Means over seeds; in brackets what the tutorial published."
    return f"{explained}\n{line.rstrip()}"


def last_epoch(history: History, epochs: int) -> str:
    """A line for each arm with the last epoch's figures."""
    done, lines = history.epochs, []
    for arm in history.arms:
        number = f"{done:{len(str(epochs))}}/{epochs} {arm}"
        line = f"{number:<10}"
        for metric in METRICS:
            figure = f"{history.last(arm, metric).mean():.4f}"
            if done <= len(PUBLISHED[arm][metric]):
                figure += f" ({PUBLISHED[arm][metric][done - 1]:.4f})"
            line += f" {figure:<15} "
        lines.append(line.rstrip())
    return "\n".join(lines)


def summary(history: History, epochs: int) -> Table:
    """The last epoch's figures: the tutorial's, ours, the difference."""
    done, rows = history.epochs, []
    for arm in history.arms:
        for metric in METRICS:
            values = history.last(arm, metric)
            published = difference = sd = "-"
            if done <= len(PUBLISHED[arm][metric]):
                printed = PUBLISHED[arm][metric][done - 1]
                published = f"{printed:.4f}"
                difference = f"{values.mean() - printed:+.4f}"
            if history.seeds > 1:
                sd = f"{values.std(ddof=1):.4f}"
            ours = f"{values.mean():.4f}"
            rows.append([arm, metric, published, ours, sd, difference])
    headings = "arm", "figure", "published", "ours", "sd", "difference"
    return Table(headings, rows, f"after epoch {done} of {epochs}, n={history.seeds}")


def paired(history: History, settings: Settings) -> Table:
    """CLR less SGD, seed by seed: mean, spread, and on how many seeds CLR won."""
    by_role = {arm.role: name for name, arm in settings.arms.items()}
    baseline, cyclical = by_role["baseline"], by_role["cyclical"]
    rows = []
    for metric in METRICS:
        gain = history.last(cyclical, metric) - history.last(baseline, metric)
        better = int((gain < 0 if "loss" in metric else gain > 0).sum())
        mean, sd = f"{gain.mean():+.4f}", f"{gain.std(ddof=1):.4f}"
        rows.append([metric, mean, sd, f"{better} of {len(gain)} seeds"])
    headings = "figure", "mean", "sd", f"{cyclical} better on"
    return Table(headings, rows, title=f"{cyclical} less {baseline}, paired by seed")


def diverged(history: History) -> list[str]:
    """A line for each arm of which some seed's loss is no longer a number."""
    return [
        f"{arm} DIVERGED (its loss is not finite) on seeds {seeds}"
        for arm, seeds in history.diverged().items()
    ]


def write_tensorboard(history: History, settings: Settings, folder: Path) -> None:
    """Each epoch's figures and rate, for TensorBoard, a run for each arm and seed."""
    for name, arm in settings.arms.items():
        for seed in range(history.seeds):
            with SummaryWriter(str(folder / f"{name}-{seed}")) as writer:
                for epoch in range(history.epochs):
                    step = (epoch + 1) * settings.updates_per_epoch
                    for metric in METRICS:
                        figure = history.of(name, metric)[seed, epoch]
                        writer.add_scalar(metric, figure, step)
                    rate = float(arm.rate(step - 1))
                    writer.add_scalar("learning_rate", rate, step)
