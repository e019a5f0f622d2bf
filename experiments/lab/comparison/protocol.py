"""The protocol of comparison.py, fixed before its final figures were seen.

The network is the tutorial's, trained by SGD with momentum 0.9 in batches of 64. A
fixed permutation divides the 60,000 training images into 55,000 for training and 5,000
for validation; every choice is made on the validation images, every final figure comes
from the 10,000 test images. An earlier comparison has looked at these test images too.
Final runs have n = 10 paired seeds: the same weights and batches for every arm.

The range test: seeds 0 to 4, 400 steps each, 2,000 in all, on the training images. The
sweep: lr_sweep with its defaults on the same seeds, each cycle scored on 1,024 of the
validation images. Of both, base_lr and max_lr are the medians over the seeds.

A. No tuning but the range test. Each schedule takes its peak from that max_lr and is
   laid out for runs of 1, 4 and 10 epochs: fixed; cosine decay; linear warm-up over
   a tenth of the steps and cosine; linear decay; Optax's cosine one-cycle; CLR with one
   triangular cycle, with three cycles of triangular2, with three of exp_range (whose
   amplitude ends at a quarter, as triangular2's), and with one cycle whose halves are
   cosines. CLR starts and ends at base_lr.
B. Equal budgets. The peak of each schedule is the best of 0.01, 0.025, 0.06, 0.15 and
   0.4 on the validation images after 10 epochs, one seed; then 10 epochs. CLR's range
   test counts: it tries only the four of these nearest to its max_lr, and takes from
   the range test the ratio of its bounds.
C. Any time. 12 epochs, read after every epoch at which a cycle of CLR ends, 4 and 6 to
   12, by somebody who did not know when training would end. CLR: three cycles of 4
   epochs, with the sweep's bounds, the range test's, and tuned; one cycle of 6 epochs
   and then cycles of one; a cycle of 4 and one of 8 (cycle_mult=2); both of these with
   the sweep's bounds and tuned. What people take in its place, tuned: SGDR restarting
   every 4 epochs; Schedule-Free SGD, read at its average; a fixed rate, read at an
   average of its weights, with decays of 0.99 and 0.999; warm-up, hold and
   cool-down (WSD), which branches off to cool down before each reading, in a fifth of
   the epochs so far, rounded, in a straight line or as 1 - sqrt. Beside them, tuned,
   cosine decay and one-cycle, laid out for all 12, and a fixed rate. WSD and
   Schedule-Free warm up in a thirtieth of the run.
   Peaks are tuned as in B; Schedule-Free, which has no momentum to add up ten steps,
   tries ten times the grid. One run with averages serves all decays; 1 - sqrt is tried
   at the best peak of the straight line, from its hold on. Choices and runs are counted
   in steps, WSD's branches too.
D. Snapshots. The mean of the softmax outputs that each network of C has after 4, 8 and
   12 epochs, against the same network after 12; for all that are read at their own
   weights, without branches.
E. The landscape. Two epochs of one triangular cycle for 6 peaks from 0.0125 to 0.4, by
   4 ratios of the bounds, 2, 5, 10 and 50; for the range test's bounds, a quarter of
   its max_lr to its max_lr, Smith's rule of thumb, and the sweep's bounds. 3 seeds, on
   the validation images. The regret is the best mean of the landscape less that of the
   range test's bounds.
F. The horizon. The share of 12 epochs after which a run of C first reaches a target,
   read after every epoch: 84, 86 and 87.5 %, which in an earlier comparison CLR passed
   after 4 epochs, after 8, and not always after 12. One cycle, two, three and growing
   ones, with the sweep's bounds; cosine decay, one-cycle and Schedule-Free, tuned.

The hopes, stated beforehand, each of means over the seeds; a rival is a tuned arm of C
that is not CLR, and an any-time one is not laid out for the whole run:
1. The best CLR of A is within 0.3 points of the best schedule of B, after 10 epochs.
2. In C, three cycles with the sweep's bounds are above the best any-time rival after 4
   epochs, at the end of the first,
3. and the long cycle with them is within 0.3 points of it after 6, at its own end;
4. after 12 epochs the better of both is within 0.3 points of the best of all.
5. Snapshots give three cycles 0.5 points or more.
6. The regret is below one point, 7. and that of the sweep's bounds too.
8. F: Two cycles reach the easy target before one does.
"""

from dataclasses import dataclass

import numpy as np

from lab.data import FashionMNIST, Images


@dataclass(frozen=True)
class Settings:
    """What the figures depend on; the defaults are the protocol's."""

    seeds: int = 10
    batch_size: int = 64
    train_images: int = 55_000
    range_seeds: int = 5
    range_steps: int = 400
    epochs: tuple[int, ...] = (1, 4, 10)  # of A; the last one of B too
    grid: tuple[float, ...] = (0.01, 0.025, 0.06, 0.15, 0.4)
    sweep_steps: int = 200  # of each cycle
    held_out: int = 1024  # validation images that score a cycle
    cycle_epochs: int = 4  # of C and D, three cycles
    targets: tuple[float, ...] = (84.0, 86.0, 87.5)  # of F, in percent
    landscape_epochs: int = 2
    landscape_seeds: int = 3
    peaks: tuple[float, ...] = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)
    ratios: tuple[float, ...] = (2, 5, 10, 50)

    @property
    def steps_per_epoch(self) -> int:
        """With the last, smaller batch."""
        return -(-self.train_images // self.batch_size)

    @property
    def cycle_ends(self) -> tuple[int, ...]:
        """When three cycles end, in epochs."""
        return tuple(self.cycle_epochs * cycle for cycle in (1, 2, 3))

    @property
    def reads(self) -> tuple[int, ...]:
        """When C is read, in epochs: where a cycle of some arm ends."""
        first, _, last = self.cycle_ends
        return first, *range(last // 2, last + 1)

    @property
    def range_test_steps(self) -> int:
        """What the range test costs."""
        return self.range_seeds * self.range_steps


SHORT = Settings(
    seeds=2,
    range_seeds=3,
    range_steps=200,
    epochs=(1, 2),
    grid=(0.025, 0.06, 0.15),
    sweep_steps=20,
    held_out=64,
    cycle_epochs=2,
    landscape_epochs=1,
    landscape_seeds=1,
    peaks=(0.05, 0.1),
    ratios=(5, 10),
)


def split(data: FashionMNIST) -> FashionMNIST:
    """A twelfth of the training images as the test part: what choices are made on."""
    order = np.random.default_rng(0).permutation(len(data.train.images))
    held, kept = np.split(order, [len(order) // 12])
    images, labels = data.train
    return data._replace(
        train=Images(images[kept], labels[kept]),
        test=Images(images[held], labels[held]),
    )
