"""The images that choices are made on."""

import numpy as np
from made_data import numbered

from lab.comparison.protocol import split


def test_the_split_holds_a_twelfth_of_the_training_images():
    data = numbered(240, 30)
    parts = split(data)
    assert (len(parts.train.images), len(parts.test.images)) == (220, 20)
    labels = np.concatenate([parts.train.labels, parts.test.labels])
    np.testing.assert_array_equal(np.sort(labels), np.arange(240))
    images = np.concatenate([parts.train.images, parts.test.images])
    np.testing.assert_array_equal(images, data.train.images[labels])
    assert (split(data).test.labels == parts.test.labels).all()
