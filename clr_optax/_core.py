"""The one place where private names of `clr_core` cross into `clr_optax`."""

from clr_core._clean import SMALLEST as SMALLEST
from clr_core._numbers import float_type as float_type
from clr_core._numbers import is_single as is_single
from clr_core._numbers import whole_mult as whole_mult
from clr_core._rate import ScaleFn as ScaleFn
from clr_core._reading import POINTS as POINTS
from clr_core._reading import Reading as Reading
from clr_core._reading import reading as reading
from clr_core._words import Anneal as Anneal
from clr_core._words import Mode as Mode
from clr_core._words import Rule as Rule
from clr_core._words import ScaleMode as ScaleMode
from clr_core._words import short_repr as short_repr
from clr_core._words import word_of as word_of
