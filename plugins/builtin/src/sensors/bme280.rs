//! Bosch BME280: temperature, humidity and air pressure on I2C, around the driver crate `bme280`.
//!
//! Datasheet: BST-BME280-DS002. One conversion per reading (forced mode), every quantity sampled once, filter
//! off: with the filter a reading would be a mixture of the last ones. The driver crate waits 40 ms for a
//! conversion, which takes 9.3 ms at most (section 9.1).

use std::sync::{Arc, Mutex, PoisonError};

use ::bme280::i2c::BME280;
use ::bme280::{Configuration, Error};
use embedded_hal::i2c::{ErrorType, I2c, Operation};
use sedge_plugin::device::{Delay, Granted};
use sedge_plugin::prelude::*;
use sedge_plugin::sim::{Curve, RegisterFile};

const ID: u8 = 0xD0;
const RESET: u8 = 0xE0;
const CTRL_HUM: u8 = 0xF2;
const CTRL_MEAS: u8 = 0xF4;
const DATA: u8 = 0xF7;

const BME280_ID: u8 = 0x60;

/// What [`DATA`] holds after a reset, and of a quantity that is switched off (section 5.4.7 to 5.4.9).
const UNMEASURED: [u8; 8] = [0x80, 0, 0, 0x80, 0, 0, 0x80, 0];

const CELSIUS: (f64, f64) = (-40.0, 85.0);
const HECTOPASCAL: (f64, f64) = (300.0, 1100.0);

/// A BME280. It has no settings.
pub struct Bme280 {
    chip: BME280<Tap>,
    delay: Delay,
    raw: Arc<Mutex<[u8; 8]>>,
}

impl Sensor for Bme280 {
    const KIND: &'static str = "bme280";
    const TITLE: &'static str = "Bosch BME280 temperature, humidity and pressure sensor";
    const ADDRESSES: &'static [u8] = &[0x76, 0x77];
    const IDENTITY: Option<Identity> = Some(Identity::byte(&[ID], BME280_ID));
    const FIELDS: &'static [Field] = &[
        Field::new("temperature", Unit::Celsius).class("temperature").range(CELSIUS.0, CELSIUS.1),
        Field::new("humidity", Unit::Percent).class("humidity").precision(1).range(0.0, 100.0),
        Field::new("pressure", Unit::Hectopascal)
            .class("atmospheric_pressure")
            .range(HECTOPASCAL.0, HECTOPASCAL.1),
    ];
    type Device = I2cDevice;
    type Config = NoSettings;

    fn open(mut device: I2cDevice, _: NoSettings) -> Result<Self, SensorError> {
        // The driver crate takes a BMP280 (0x58) too, and makes up its humidity.
        let found = device.read_u8(ID)?;
        if found != BME280_ID {
            return Err(SensorError::WrongDevice { expected: BME280_ID.into(), found: found.into() });
        }
        let address = device.address();
        let (bus, mut delay) = device.split();
        let raw = Arc::new(Mutex::new(UNMEASURED));
        let mut chip = BME280::new(Tap { bus, raw: raw.clone() }, address);
        chip.init_with_config(&mut delay, Configuration::default()).map_err(sensor_error)?;
        Ok(Self { chip, delay, raw })
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        let measured = self.chip.measure(&mut self.delay).map_err(sensor_error)?;
        let raw = *self.raw.lock().unwrap_or_else(PoisonError::into_inner);
        if raw.iter().all(|&byte| byte == 0x00) || raw.iter().all(|&byte| byte == 0xFF) {
            return Err(SensorError::Garbage(
                "what it says is no measurement (another chip, or a shorted wire?)".into(),
            ));
        }
        if raw == UNMEASURED {
            return Err(SensorError::Garbage("the chip has lost its configuration (a weak supply?)".into()));
        }
        push_clamped(frame, "temperature", measured.temperature, CELSIUS);
        frame.push("humidity", measured.humidity);
        push_clamped(frame, "pressure", measured.pressure / 100.0, HECTOPASCAL);
        Ok(())
    }

    fn simulate(seed: u64) -> Box<dyn I2cModel> {
        let warmth = Curve::new(seed, 21.0, 3.0);
        let damp = Curve::new(seed ^ 0x1000, 45.0, 15.0);
        let weight = Curve::new(seed ^ 0x2000, 1013.0, 12.0);
        Box::new(simulated::chip(move |now| {
            simulated::convert(warmth.at(now), damp.at(now), weight.at(now) * 100.0)
        }))
    }
}

/// The driver crate cuts a value off at the ends of the measuring range: there, the true one is beyond it.
fn push_clamped(frame: &mut Frame, field: &'static str, value: f32, (min, max): (f64, f64)) {
    frame.push(field, value);
    let value = f64::from(value);
    if let Some(sample) = frame.samples.last_mut()
        && (value <= min || value >= max)
    {
        sample.quality = Quality::OutOfRange;
    }
}

fn sensor_error(error: Error<BusError>) -> SensorError {
    match error {
        Error::Bus(error) => error.into(),
        Error::UnsupportedChip => SensorError::Garbage("the chip changed its id".into()),
        _ => SensorError::Garbage("the calibration words or the control register make no sense".into()),
    }
}

/// The bus, with a copy kept of the last raw data, which the driver crate does not show. A chip that was
/// reset by a weak supply measures nothing and answers with constants that look like 26 °C.
struct Tap {
    bus: Granted,
    raw: Arc<Mutex<[u8; 8]>>,
}

impl ErrorType for Tap {
    type Error = BusError;
}

impl I2c for Tap {
    fn read(&mut self, address: u8, buffer: &mut [u8]) -> Result<(), BusError> {
        self.bus.read(address, buffer)
    }
    fn write(&mut self, address: u8, bytes: &[u8]) -> Result<(), BusError> {
        self.bus.write(address, bytes)
    }
    fn write_read(&mut self, address: u8, bytes: &[u8], buffer: &mut [u8]) -> Result<(), BusError> {
        self.bus.write_read(address, bytes, buffer)?;
        if let ([DATA], Ok(data)) = (bytes, <[u8; 8]>::try_from(&*buffer)) {
            *self.raw.lock().unwrap_or_else(PoisonError::into_inner) = data;
        }
        Ok(())
    }
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        self.bus.transaction(address, operations)
    }
}

/// A chip with the calibration words of the datasheet's example.
mod simulated {
    use std::time::Duration;

    use super::{BME280_ID, CTRL_HUM, CTRL_MEAS, DATA, ID, RESET, RegisterFile, UNMEASURED};

    const T: [i32; 3] = [27504, 26435, -1000];
    const P: [i32; 9] = [36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000];
    const H: [i32; 6] = [75, 370, 0, 313, 50, 30];

    /// The numbers of the converter: 20, 20 and 16 bits.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Adc {
        pub(super) pressure: u32,
        pub(super) temperature: u32,
        pub(super) humidity: u16,
    }

    impl Adc {
        pub(super) fn bytes(self) -> [u8; 8] {
            let ([_, p0, p1, p2], [_, t0, t1, t2]) =
                ((self.pressure << 4).to_be_bytes(), (self.temperature << 4).to_be_bytes());
            let [h0, h1] = self.humidity.to_be_bytes();
            [p0, p1, p2, t0, t1, t2, h0, h1]
        }
    }

    /// A chip that converts when it is told to, and sleeps again.
    pub(super) fn chip(mut convert: impl FnMut(Duration) -> Adc + Send + 'static) -> RegisterFile {
        let [words, humidity] = [words(), humidity_words()];
        RegisterFile::live(move |chip, now| {
            if chip.get(RESET) == 0xB6 {
                chip.set(RESET, &[0]);
                chip.set(CTRL_HUM, &[0; 4]);
                chip.set(DATA, &UNMEASURED);
            }
            let control = chip.get(CTRL_MEAS);
            if control & 0b11 == 0 {
                return;
            }
            let sampled = control >> 5 != 0 && control >> 2 & 0b111 != 0 && chip.get(CTRL_HUM) & 0b111 != 0;
            chip.set(DATA, &if sampled { convert(now).bytes() } else { UNMEASURED });
            chip.set(CTRL_MEAS, &[control & !0b11]);
        })
        .with(ID, &[BME280_ID])
        .with(0x88, &words)
        .with(0xE1, &humidity)
    }

    /// 0x88 to 0xA1: temperature and pressure, low byte first, then dig_H1 (table 16).
    pub(super) fn words() -> Vec<u8> {
        let words = T.iter().chain(&P).flat_map(|word| (*word as u16).to_le_bytes());
        words.chain([0, H[0] as u8]).collect()
    }

    /// 0xE1 to 0xE7: dig_H4 and dig_H5 share a byte (table 16).
    pub(super) fn humidity_words() -> Vec<u8> {
        let [h2_low, h2_high] = (H[1] as u16).to_le_bytes();
        let shared = (H[4] << 4 | H[3] & 0x0F) as u8;
        vec![h2_low, h2_high, H[2] as u8, (H[3] >> 4) as u8, shared, (H[4] >> 4) as u8, H[5] as u8]
    }

    /// What the converter says at so many °C, percent and Pa.
    pub(super) fn convert(celsius: f64, percent: f64, pascal: f64) -> Adc {
        let temperature = search(20, |adc| fine(adc) / 5120.0 >= celsius);
        let fine = fine(temperature);
        Adc {
            temperature,
            pressure: search(20, |adc| pressure(adc, fine) <= pascal),
            humidity: search(16, |adc| humidity(adc, fine) >= percent) as u16,
        }
    }

    /// The first number of so many bits for which `reached` holds.
    fn search(bits: u32, reached: impl Fn(u32) -> bool) -> u32 {
        let (mut low, mut high) = (0, (1 << bits) - 1);
        while low < high {
            let middle = (low + high) / 2;
            if reached(middle) { high = middle } else { low = middle + 1 }
        }
        low
    }

    fn fine(adc: u32) -> f64 {
        let [t1, t2, t3] = T.map(f64::from);
        let adc = f64::from(adc);
        let square = (adc / 131_072.0 - t1 / 8192.0).powi(2);
        (adc / 16384.0 - t1 / 1024.0) * t2 + square * t3
    }

    fn pressure(adc: u32, fine: f64) -> f64 {
        let [p1, p2, p3, p4, p5, p6, p7, p8, p9] = P.map(f64::from);
        let x = fine / 2.0 - 64000.0;
        let offset = (x * x * p6 / 32768.0 + x * p5 * 2.0) / 4.0 + p4 * 65536.0;
        let scale = (1.0 + (p3 * x * x / 524_288.0 + p2 * x) / 524_288.0 / 32768.0) * p1;
        let p = (1_048_576.0 - f64::from(adc) - offset / 4096.0) * 6250.0 / scale;
        p + (p9 * p * p / 2_147_483_648.0 + p * p8 / 32768.0 + p7) / 16.0
    }

    fn humidity(adc: u32, fine: f64) -> f64 {
        let [h1, h2, h3, h4, h5, h6] = H.map(f64::from);
        let x = fine - 76800.0;
        let slope = h2 / 65536.0 * (1.0 + h6 / 67_108_864.0 * x * (1.0 + h3 / 67_108_864.0 * x));
        let h = (f64::from(adc) - (h4 * 64.0 + h5 / 16384.0 * x)) * slope;
        h * (1.0 - h1 * h / 524_288.0)
    }
}

#[cfg(test)]
mod tests {
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::simulated::Adc;
    use super::*;

    const EXAMPLE: Adc = Adc { pressure: 415_148, temperature: 519_888, humidity: 30_000 };

    fn number(frame: &Frame, field: &str) -> f64 {
        match frame.get(field) {
            Some(Value::Number(n)) => *n,
            other => panic!("{field}: {other:?}"),
        }
    }

    fn open(chip: RegisterFile) -> Result<Bme280, SensorError> {
        Bme280::open(I2cDevice::new(0x76, Wire::to(0x76, chip), NoDelay), NoSettings {})
    }

    fn read(chip: RegisterFile) -> Frame {
        let mut frame = Frame::default();
        open(chip).unwrap().read(&mut frame).unwrap();
        frame
    }

    fn assert_example(frame: &Frame) {
        assert!((number(frame, "temperature") - 25.08).abs() < 0.005, "{frame:?}");
        assert!((number(frame, "pressure") - 1006.5327).abs() < 0.005, "{frame:?}");
        assert!(frame.samples.iter().all(|sample| sample.quality == Quality::Ok));
    }

    #[test]
    fn the_datasheets_example_gives_its_values() {
        assert_example(&read(simulated::chip(|_| EXAMPLE)));
    }

    #[test]
    fn it_speaks_to_the_chip_as_the_datasheet_says() {
        let read = |register, bytes: &[u8]| Transaction::write_read(0x76, vec![register], bytes.to_vec());
        let write = |register, byte| Transaction::write(0x76, vec![register, byte]);
        let mut bus = Mock::new(&[
            read(0xD0, &[0x60]),
            read(0xD0, &[0x60]),
            write(0xE0, 0xB6),
            read(0x88, &simulated::words()),
            read(0xE1, &simulated::humidity_words()),
            read(0xF4, &[0]),
            write(0xF2, 0b001), // humidity once
            read(0xF4, &[0]),
            write(0xF4, 0b0010_0100), // temperature once, pressure once, asleep
            read(0xF5, &[0]),
            write(0xF5, 0), // no filter
            read(0xF4, &[0b0010_0100]),
            read(0xF4, &[0b0010_0100]),
            write(0xF4, 0b0010_0101), // one conversion
            read(0xF7, &EXAMPLE.bytes()),
        ]);
        let device = I2cDevice::new(0x76, bus.clone(), NoDelay);
        let mut frame = Frame::default();
        Bme280::open(device, NoSettings {}).unwrap().read(&mut frame).unwrap();
        assert_example(&frame);
        bus.done();
    }

    #[test]
    fn another_chip_is_refused_with_its_id() {
        let bmp280 = simulated::chip(|_| EXAMPLE).with(ID, &[0x58]);
        assert_eq!(open(bmp280).err(), Some(SensorError::WrongDevice { expected: 0x60, found: 0x58 }));
    }

    #[test]
    fn the_simulation_is_read_back_as_it_was_meant() {
        for (celsius, percent, pascal) in
            [(21.0, 45.0, 101_300.0), (-20.0, 10.0, 95_000.0), (60.0, 80.0, 104_000.0)]
        {
            let frame = read(simulated::chip(move |_| simulated::convert(celsius, percent, pascal)));
            assert!((number(&frame, "temperature") - celsius).abs() < 0.01, "{celsius}: {frame:?}");
            assert!((number(&frame, "humidity") - percent).abs() < 0.05, "{percent}: {frame:?}");
            assert!((number(&frame, "pressure") - pascal / 100.0).abs() < 0.05, "{pascal}: {frame:?}");
        }
    }

    #[test]
    fn a_chip_that_forgot_its_configuration_is_an_error_and_not_26_degrees() {
        let forgetful = simulated::chip(|_| {
            let [p0, p1, p2, t0, t1, t2, h0, h1] = UNMEASURED.map(u32::from);
            let [pressure, temperature] =
                [(p0, p1, p2), (t0, t1, t2)].map(|(a, b, c)| a << 12 | b << 4 | c >> 4);
            Adc { pressure, temperature, humidity: (h0 << 8 | h1) as u16 }
        });
        let mut driver = open(forgetful).unwrap();
        assert!(matches!(driver.read(&mut Frame::default()), Err(SensorError::Garbage(_))));
    }

    #[test]
    fn a_value_that_the_driver_crate_cut_off_is_out_of_range() {
        let frame = read(simulated::chip(|_| Adc { temperature: 0xF_FFF0, ..EXAMPLE }));
        assert_eq!(number(&frame, "temperature"), 85.0);
        assert_eq!(frame.samples[0].quality, Quality::OutOfRange);
        assert_eq!(frame.samples[1].quality, Quality::Ok);
    }
}
