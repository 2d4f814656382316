//! The kinds of sensors, one file each.
//!
//! To add one: write its file, name it below, give it a row in [`KINDS`]. The promises in `tests/promises.rs`
//! then hold for it as for the others.
//!
//! ```
//! let kind = sedge_plugins::sensors::kind("bme280").unwrap();
//! assert_eq!(kind.addresses(), [0x76, 0x77]);
//! ```

pub mod ads1115;
pub mod aht20;
pub mod bh1750;
pub mod bme280;
pub mod bme680;
pub mod bmp280;
pub mod bmp390;
pub mod ccs811;
pub mod dht22;
pub mod ds1307;
pub mod ds18b20;
pub mod ds3231;
pub mod ens160;
pub mod hdc302x;
pub mod hwmon;
pub mod ina219;
pub mod ina226;
pub mod ina260;
pub mod lis3dh;
pub mod lm75;
pub mod max17048;
pub mod max31855;
pub mod mcp23017;
pub mod mcp3008;
pub mod mcp9808;
pub mod mlx90614;
pub mod mpu6050;
pub mod pca9685;
pub mod pcf8574;
pub mod pmsa003i;
pub mod scd30;
pub mod scd4x;
pub mod sen5x;
pub mod sgp30;
pub mod sgp40;
pub mod sht3x;
pub mod sht4x;
pub mod shtc3;
pub mod si7021;
pub mod ssd1306;
pub mod tmp102;
pub mod tmp117;
pub mod tsl2591;
pub mod veml7700;
pub mod vl53l0x;

mod shared;

use sedge_plugin::SensorKind;

/// Every kind of sensor that comes with a node.
pub const KINDS: &[SensorKind] = &[
    SensorKind::i2c::<ads1115::Ads1115>(),
    SensorKind::i2c::<aht20::Aht20>(),
    SensorKind::i2c::<bh1750::Bh1750>(),
    SensorKind::i2c::<bme280::Bme280>(),
    SensorKind::i2c::<bme680::Bme680>(),
    SensorKind::i2c::<bmp280::Bmp280>(),
    SensorKind::i2c::<bmp390::Bmp390>(),
    SensorKind::i2c::<ccs811::Ccs811>(),
    SensorKind::files::<dht22::Dht22>(),
    SensorKind::i2c::<ds1307::Ds1307>(),
    SensorKind::files::<ds18b20::Ds18b20>(),
    SensorKind::i2c::<ds3231::Ds3231>(),
    SensorKind::i2c::<ens160::Ens160>(),
    SensorKind::i2c::<hdc302x::Hdc302x>(),
    SensorKind::files::<hwmon::Hwmon>(),
    SensorKind::i2c::<ina219::Ina219>(),
    SensorKind::i2c::<ina226::Ina226>(),
    SensorKind::i2c::<ina260::Ina260>(),
    SensorKind::i2c::<lis3dh::Lis3dh>(),
    SensorKind::i2c::<lm75::Lm75>(),
    SensorKind::i2c::<max17048::Max17048>(),
    SensorKind::spi::<max31855::Max31855>(),
    SensorKind::i2c::<mcp23017::Mcp23017>(),
    SensorKind::spi::<mcp3008::Mcp3008>(),
    SensorKind::i2c::<mcp9808::Mcp9808>(),
    SensorKind::i2c::<mlx90614::Mlx90614>(),
    SensorKind::i2c::<mpu6050::Mpu6050>(),
    SensorKind::i2c::<pca9685::Pca9685>(),
    SensorKind::i2c::<pcf8574::Pcf8574>(),
    SensorKind::i2c::<pmsa003i::Pmsa003i>(),
    SensorKind::i2c::<scd30::Scd30>(),
    SensorKind::i2c::<scd4x::Scd4x>(),
    SensorKind::i2c::<sen5x::Sen5x>(),
    SensorKind::i2c::<sgp30::Sgp30>(),
    SensorKind::i2c::<sgp40::Sgp40>(),
    SensorKind::i2c::<sht3x::Sht3x>(),
    SensorKind::i2c::<sht4x::Sht4x>(),
    SensorKind::i2c::<shtc3::Shtc3>(),
    SensorKind::i2c::<si7021::Si7021>(),
    SensorKind::i2c::<ssd1306::Ssd1306>(),
    SensorKind::i2c::<tmp102::Tmp102>(),
    SensorKind::i2c::<tmp117::Tmp117>(),
    SensorKind::i2c::<tsl2591::Tsl2591>(),
    SensorKind::i2c::<veml7700::Veml7700>(),
    SensorKind::i2c::<vl53l0x::Vl53l0x>(),
];

/// The kind that the config calls `name`.
pub fn kind(name: &str) -> Option<&'static SensorKind> {
    KINDS.iter().find(|kind| kind.kind == name)
}
