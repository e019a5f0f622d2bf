"""Fashion-MNIST in memory; `load` is the one door."""

from lab.data.files import DataError as DataError
from lab.data.files import FashionMNIST as FashionMNIST
from lab.data.files import Images as Images
from lab.data.sources import load as load
