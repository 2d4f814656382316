"""A sensor library of PyPI, unchanged, behind the node's bus: it is handed a bus that reaches the granted device and no other."""

import bme280
from sedge_sdk import Sensor, Unmet, run

BME280 = 0x60


class PypiSensor(Sensor):
    def setup(self):
        self.bus = self.node.smbus()
        found = self.bus.read_byte_data(self.address, 0xD0)
        if found != BME280:
            raise Unmet(f"another chip answers: its id is {found:#04x}, a BME280 has {BME280:#04x}")
        self.params = bme280.load_calibration_params(self.bus, self.address)
        # What the library calls them: x1 is 1, x2 is 2, x4 is 3, …
        self.sampling = int(self.settings.get("oversampling", 1)).bit_length()

    def read(self):
        data = bme280.sample(self.bus, self.address, self.params, self.sampling)
        return {"temperature": data.temperature, "humidity": data.humidity, "pressure": data.pressure}


run(PypiSensor)
