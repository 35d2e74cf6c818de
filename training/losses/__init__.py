"""The losses, one module for each system: functions -> (total, {name: part}), so that the log can show each."""

from torch import Tensor

Parts = dict[str, Tensor]
