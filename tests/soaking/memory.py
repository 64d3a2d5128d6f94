"""Resident memory over time: it has to be flat."""

from __future__ import annotations

import statistics

# How much more the last quarter may have than the second: what allocators and caches do, and no leak.
GROWTH_FACTOR = 1.15
GROWTH_MB = 24.0


class Samples:
    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []  # seconds, MB

    def add(self, seconds: float, megabytes: float) -> None:
        self._samples.append((seconds, megabytes))

    def quarter(self, number: int) -> float:
        """The median of a quarter, from 1 to 4; of everything where a quarter is empty."""
        end = self._samples[-1][0] if self._samples else 0.0
        values = [value for seconds, value in self._samples if (number - 1) * end / 4 <= seconds <= number * end / 4]
        return statistics.median(values or [value for _, value in self._samples] or [0.0])

    def is_flat(self) -> bool:
        return self.quarter(4) <= self.quarter(2) * GROWTH_FACTOR + GROWTH_MB

    def text(self) -> str:
        quarters = ", ".join(f"{self.quarter(number):.0f}" for number in range(1, 5))
        highest = max((value for _, value in self._samples), default=0.0)
        return f"medians of the quarters {quarters} MB, highest {highest:.0f} MB, {len(self._samples)} samples"
