"""The protocol of comparison.py, fixed before its final figures were seen.

The network is the tutorial's, trained by SGD with momentum 0.9 in batches of 64. A
fixed permutation divides the 60,000 training images into 55,000 for training and 5,000
for validation; every choice is made on the validation images, every final figure comes
from the 10,000 test images. An earlier comparison has looked at these test images too.
Final runs have n = 10 paired seeds: the same weights and batches for every arm.

The range test: seeds 0 to 4, 400 steps each, 2,000 in all, on the training images;
base_lr and max_lr are the medians of what the library reads. A tunes nothing else.

A. No tuning but the range test. Each schedule takes its peak from that max_lr and is
   laid out for runs of 1, 2, 4 and 10 epochs: fixed; cosine decay; linear warm-up over
   a tenth of the steps and cosine; linear decay; Optax's cosine one-cycle; CLR with one
   triangular cycle, with three cycles of triangular2, with three of exp_range (whose
   amplitude ends at a quarter, as triangular2's), and with one cycle whose halves are
   cosines. CLR starts and ends at base_lr.
B. Equal budgets. The peak of each schedule is the best of 0.01, 0.025, 0.06, 0.15 and
   0.4 on the validation images after 10 epochs, one seed; then 10 epochs. CLR's range
   test counts: it tries only the four of these nearest to its max_lr, and takes from
   the range test the ratio of its bounds.
C. Any time. 12 epochs, read after 4, 8 and 12, by somebody who did not know when
   training would end: CLR in triangular cycles of 4 epochs, with the range test's
   bounds and with a tuned peak; SGDR restarting every 4 epochs; cosine decay and
   one-cycle laid out for 12, and a fixed rate. Peaks are tuned as in B, three cycles
   and three restarts among them.
D. Snapshots. The mean of the softmax outputs that each network of C has after 4, 8 and
   12 epochs, against the same network after 12.
E. The landscape. Two epochs of one triangular cycle for 6 peaks from 0.0125 to 0.4, by
   4 ratios of the bounds, 2, 5, 10 and 50; for the range test's bounds; and for a
   quarter of its max_lr to its max_lr, Smith's rule of thumb. 3 seeds, on the
   validation images. The regret is the best mean of the landscape less that of the
   range test's bounds.

The hopes, stated beforehand, each of means over the seeds:
1. The best CLR of A is within 0.3 points of the best schedule of B, after 10 epochs.
2. In C, CLR with the range test's bounds is ahead of cosine decay and of one-cycle by a
   point or more after 4 epochs,
3. ahead of both after 8,
4. and not more than 0.3 points behind the better of them after 12.
5. Snapshots give it 0.5 points or more.
6. The regret is below one point.
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
    epochs: tuple[int, ...] = (1, 2, 4, 10)  # of A; the last one of B too
    grid: tuple[float, ...] = (0.01, 0.025, 0.06, 0.15, 0.4)
    cycle_epochs: int = 4  # of C and D, three cycles
    landscape_epochs: int = 2
    landscape_seeds: int = 3
    peaks: tuple[float, ...] = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)
    ratios: tuple[float, ...] = (2, 5, 10, 50)

    @property
    def steps_per_epoch(self) -> int:
        """With the last, smaller batch."""
        return -(-self.train_images // self.batch_size)

    @property
    def anytime(self) -> tuple[int, ...]:
        """When C is read, in epochs."""
        return tuple(self.cycle_epochs * cycle for cycle in (1, 2, 3))

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
    cycle_epochs=1,
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
