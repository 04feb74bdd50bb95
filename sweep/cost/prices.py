"""What devices are assumed to do, and cost: a small table in a file, replaced by one of the user's own if he likes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from sweep.cost.estimator import Estimator, MeasuredThroughput
from trainables.errors import UserError, suggestion
from trainables.frozen import Frozen

OWN = Path(__file__).with_name("prices.yaml")
FLOPS_PER_MULTIPLY_ADD = 2


class DevicePrice(Frozen):
    """A kind of device."""

    match: str = Field(description="part of the name by which it calls itself")
    tflops: dict[str, float] = Field(description="precision -> dense peak of the data sheet, 10^12 FLOP/s")
    on_demand: float = Field(ge=0, description="price of one device-hour")
    spot: float = Field(ge=0, description="price of one device-hour that may be taken back")
    instance: str = Field("", description="what it was priced as")

    def is_called(self, name: str) -> bool:
        """Say whether a device that calls itself so is of this kind."""
        return re.search(rf"\b{re.escape(self.match)}\b", name, re.IGNORECASE) is not None  # an L40S is no L4


class PriceTable(Frozen):
    """All devices; see ``prices.yaml``."""

    currency: str
    as_of: str
    source: str
    utilisation: dict[str, float] = Field(
        description="precision -> share of the peak that training is assumed to reach"
    )
    devices: dict[str, DevicePrice]

    def find(self, name: str) -> tuple[str, DevicePrice]:
        """Return a device by its name here, or by the one it calls itself (``NVIDIA A10G``).

        Raises:
            UserError: if there is none.
        """
        for short, device in self.devices.items():
            if name.lower() == short or device.is_called(name):
                return short, device
        raise UserError(
            f"no device {name} in the price table, which has {', '.join(self.devices)}{suggestion(name, self.devices)}"
        )

    def price(self, names: Iterable[str]) -> float:
        """Return the price of one device-hour on demand, of several kinds the highest; 0 where none is known."""
        known = [device.on_demand for name in names for device in self.devices.values() if device.is_called(name)]
        return max(known, default=0.0)

    def estimator(self, name: str, speeds: MeasuredThroughput | None = None) -> Estimator:
        """Return how to estimate seconds on a device.

        Args:
            name: of the device, as in ``find``.
            speeds: what was measured, on devices of whatever kind.
        """
        device = self.find(name)[1]
        rates = {
            precision: peak * 1e3 * self.utilisation[precision] / FLOPS_PER_MULTIPLY_ADD
            for precision, peak in device.tflops.items()
        }
        speeds = speeds or MeasuredThroughput()
        return Estimator(rates, speeds, [called for called in speeds.devices() if device.is_called(called)])


def load_prices(file: Path | None = None) -> PriceTable:
    """Read a price table: the project's, or the user's own.

    Raises:
        UserError: if it cannot be read, with every fault in it.
    """
    place = file or OWN
    try:
        return PriceTable.model_validate(yaml.safe_load(place.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"cannot read the price table {place}: {error}. {OWN} shows the form") from error
    except ValidationError as error:
        raise UserError(
            f"{place}: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}. {OWN} shows the form"
            for fault in error.errors()
        ) from error
