"""Fashion-MNIST in memory; `load` is the one door."""

from lab.data.files import DataError as DataError
from lab.data.sources import FashionMNIST as FashionMNIST
from lab.data.sources import Images as Images
from lab.data.sources import load as load
