"""Peak FLOP/s, assumed utilisation and prices of devices: a table in a file, the project's or the user's own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from sweep.cost.throughput import Estimator, MeasuredThroughput
from trainables.errors import UserError, suggestion
from trainables.frozen import Frozen

OWN = Path(__file__).with_name("prices.yaml")
FLOPS_PER_MULTIPLY_ADD = 2


class DevicePrice(Frozen):
    """A kind of device."""

    match: str = Field(description="word in the name that the device reports")
    tflops: dict[str, float] = Field(description="precision -> dense peak of the data sheet, 10^12 FLOP/s")
    on_demand: float = Field(ge=0, description="price of one device-hour")
    spot: float = Field(ge=0, description="price of one device-hour that may be taken back")
    instance: str = Field("", description="what it was priced as")

    @property
    def is_cpu(self) -> bool:
        """Whether it is no GPU."""
        return self.match == "cpu"

    def is_called(self, name: str) -> bool:
        """Return whether a device that reports this name is of this kind."""
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
        """Return (name here, device) by the name here, or by the one it reports (``NVIDIA A10G``).

        Raises:
            UserError: if there is none; the message lists the devices.
        """
        for short, device in self.devices.items():
            if name.lower() == short or device.is_called(name):
                return short, device
        raise UserError(
            f"no device {name} in the price table, which has {', '.join(self.devices)}{suggestion(name, self.devices)}"
        )

    def price(self, names: Iterable[str]) -> float:
        """Return the price of one device-hour on demand: the highest of several kinds of device; 0 if none is known.

        Args:
            names: that the devices report.
        """
        known = [device.on_demand for name in names for device in self.devices.values() if device.is_called(name)]
        return max(known, default=0.0)

    def estimator(self, name: str, speeds: MeasuredThroughput | None = None) -> Estimator:
        """Return the estimator of seconds on a kind of device.

        Args:
            name: of the device, as in ``find``.
            speeds: measured throughput, on devices of any kind.
        """
        device = self.find(name)[1]
        rates = {
            precision: peak * 1e3 * self.utilisation[precision] / FLOPS_PER_MULTIPLY_ADD
            for precision, peak in device.tflops.items()
        }
        speeds = speeds or MeasuredThroughput()
        return Estimator(rates, speeds, [called for called in speeds.devices() if device.is_called(called)])


def load_prices(file: Path | None = None) -> PriceTable:
    """Read a price table.

    Args:
        file: the user's own; None: the project's.

    Raises:
        UserError: if it cannot be read, with every fault in it.
    """
    place = file or OWN
    try:
        return PriceTable.model_validate(yaml.safe_load(place.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"cannot read the price table {place}: {error}. {OWN} is an example") from error
    except ValidationError as error:
        raise UserError(
            f"{place}: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}. {OWN} is an example"
            for fault in error.errors()
        ) from error
