"""What a run prints: an epoch as it is done, and the tables at the end."""

from pathlib import Path

from rich import box, progress
from rich.console import Console
from rich.table import Table
from tensorboardX import SummaryWriter

from lab.history import METRICS, History
from lab.tutorial.settings import PUBLISHED, Settings


class Progress(progress.Progress):
    """A bar over the epochs, on a terminal, and a line for each epoch of an arm."""

    def __init__(self, console: Console, epochs: int, done: int):
        super().__init__(
            progress.TextColumn("epoch {task.completed}/{task.total}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[pace]}"),
            progress.TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.add_task(
            "training", total=epochs, completed=done, pace="compiling"
        )
        self.epochs = epochs
        console.print("Means over seeds; in brackets what the tutorial published.")
        headings = "  ".join(f"{metric:<15}" for metric in METRICS)
        console.print(f"{'epoch':<10} {headings}".rstrip())

    def show(self, history: History, seconds: float) -> None:
        """Prints the last epoch's figures, moves the bar and says its seconds."""
        done, width = history.epochs, len(str(self.epochs))
        for arm in history.arms:
            figures = []
            for metric in METRICS:
                figure = f"{history.last(arm, metric).mean():.4f}"
                if done <= len(PUBLISHED[arm][metric]):
                    figure += f" ({PUBLISHED[arm][metric][done - 1]:.4f})"
                figures.append(f"{figure:<15}")
            number = f"{done:{width}}/{self.epochs} {arm}"
            self.console.print(f"{number:<10} {'  '.join(figures)}".rstrip())
        self.update(self.task, advance=1, pace=f"{seconds:.1f} s an epoch")


def summary(history: History, epochs: int) -> Table:
    """The last epoch's figures: the tutorial's, ours, the difference."""
    done = history.epochs
    table = Table(box=box.MARKDOWN)
    for heading in ("arm", "figure", "published", "ours", "sd", "difference"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
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
            table.add_row(arm, metric, published, ours, sd, difference)
    table.caption = f"after epoch {done} of {epochs}, n={history.seeds}"
    return table


def paired(history: History, settings: Settings) -> Table:
    """CLR less SGD, seed by seed: mean, spread, and on how many seeds CLR won."""
    by_role = {arm.role: name for name, arm in settings.arms.items()}
    baseline, cyclical = by_role["baseline"], by_role["cyclical"]
    title = f"{cyclical} less {baseline}, paired by seed"
    table = Table(box=box.MARKDOWN, title=title)
    for heading in ("figure", "mean", "sd", f"{cyclical} better on"):
        table.add_column(heading, justify="right")
    for metric in METRICS:
        gain = history.last(cyclical, metric) - history.last(baseline, metric)
        better = int((gain < 0 if "loss" in metric else gain > 0).sum())
        mean, sd = f"{gain.mean():+.4f}", f"{gain.std(ddof=1):.4f}"
        table.add_row(metric, mean, sd, f"{better} of {len(gain)} seeds")
    return table


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
