//! Solomon Systech SSD1306: a small OLED display on I2C, as lines of text.
//!
//! Datasheet: SSD1306 Rev 1.1. 128 x 64 or 128 x 32 pixels: eight or four rows of sixteen characters. It has no id,
//! and its memory cannot be read on I2C: only whether it is on, which it is not after its supply broke down. A
//! display that says it is off when it was just switched on cannot tell, and is not asked again.

use font8x8::legacy::BASIC_LEGACY;
use sedge_plugin::prelude::*;
use serde_json::{Value as Json, json};

use crate::sensors::shared::chip::forgotten;

/// What follows: commands, or data for the memory.
const COMMANDS: u8 = 0x00;
const DATA: u8 = 0x40;
const DISPLAY_OFF: u8 = 0xAE;
const DISPLAY_ON: u8 = 0xAF;
/// In the status that is read: the display is off.
const IS_OFF: u8 = 1 << 6;

const COLUMNS: usize = 16;
const WIDTH: usize = 8 * COLUMNS;

/// Settings of a `kind = "ssd1306"` display.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How high it is, in pixels: 64 or 32.
    height: u8,
    /// Turned upside down.
    flip: bool,
    /// How bright it is, 0 to 255. A display that shows the same all day burns in: the darker the later.
    contrast: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { height: 64, flip: false, contrast: 0x7F }
    }
}

/// The arguments of `text`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TextArgs {
    /// What to show. Longer than sixteen characters, or with a line end, it goes on in the next row. Characters outside of
    /// ASCII are shown as `?`.
    text: String,
    /// The row that it begins in, counted from 0 at the top.
    #[serde(default)]
    row: u8,
}

/// The arguments of `clear`: none.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClearArgs {}

const TEXT: Operation = Operation::new::<TextArgs>(
    "text",
    "Show a text",
    "Writes a text into one or more rows of the display, and tells what all rows show now.",
);
const CLEAR: Operation =
    Operation::new::<ClearArgs>("clear", "Clear the display", "Makes all rows of the display empty.");

/// An SSD1306.
pub struct Ssd1306 {
    device: I2cDevice,
    rows: Vec<String>,
    /// Whether it can say that it is on.
    tells: bool,
}

impl Sensor for Ssd1306 {
    const KIND: &'static str = "ssd1306";
    const TITLE: &'static str = "Solomon Systech SSD1306 OLED display";
    const ADDRESSES: &'static [u8] = &[0x3C, 0x3D];
    const FIELDS: &'static [Field] = &[Field::new("on", Unit::None).kind(FieldKind::State)];
    const OPERATIONS: &'static [Operation] = &[TEXT, CLEAR];
    type Device = I2cDevice;
    type Config = Settings;

    fn open(mut device: I2cDevice, settings: Settings) -> Result<Self, SensorError> {
        if !matches!(settings.height, 32 | 64) {
            let text = format!("`height` is 32 or 64 pixels, not {}", settings.height);
            return Err(SensorError::Settings(text.into()));
        }
        device.write(&switch_on(&settings))?;
        let rows = vec![String::new(); usize::from(settings.height) / 8];
        let mut display = Self { device, rows, tells: false };
        // The memory holds anything after power-on.
        display.clear()?;
        display.device.write(&[COMMANDS, DISPLAY_ON])?;
        display.tells = display.says_on()?;
        Ok(display)
    }

    fn read(&mut self, frame: &mut Frame) -> Result<(), SensorError> {
        self.check()?;
        frame.push("on", true);
        Ok(())
    }

    fn operate(&mut self, operation: &str, args: &Json) -> Result<Json, SensorError> {
        let settings = |error: serde_json::Error| SensorError::Settings(error.to_string().into());
        if operation == CLEAR.name {
            ClearArgs::deserialize(args).map_err(settings)?;
            self.check()?;
            self.clear()?;
        } else if operation == TEXT.name {
            let TextArgs { text, row } = TextArgs::deserialize(args).map_err(settings)?;
            let (first, lines) = (usize::from(row), lines(&text));
            if first + lines.len() > self.rows.len() {
                let text = format!("it has {} rows of {COLUMNS} characters: too long", self.rows.len());
                return Err(SensorError::Settings(text.into()));
            }
            self.check()?;
            self.show(row, lines)?;
        } else {
            return Err(SensorError::Garbage(format!("it cannot `{operation}`").into()));
        }
        Ok(json!({ "rows": self.rows }))
    }

    fn close(&mut self) {
        let _ = self.device.write(&[COMMANDS, DISPLAY_OFF]);
    }

    fn simulate(_: u64) -> Box<dyn I2cModel> {
        Box::new(Simulated { on: false, page: 0, column: 0, memory: [[0xA5; WIDTH]; 8] })
    }
}

impl Ssd1306 {
    fn says_on(&mut self) -> Result<bool, BusError> {
        let mut status = [0];
        self.device.read(&mut status)?;
        Ok(status[0] & IS_OFF == 0)
    }

    fn check(&mut self) -> Result<(), SensorError> {
        if self.says_on()? || !self.tells { Ok(()) } else { Err(forgotten()) }
    }

    fn clear(&mut self) -> Result<(), BusError> {
        self.show(0, vec![String::new(); self.rows.len()])
    }

    fn show(&mut self, first: u8, lines: Vec<String>) -> Result<(), BusError> {
        for ((page, row), line) in (0..).zip(&mut self.rows).skip(first.into()).zip(lines) {
            // Page addressing: the column begins at 0 and moves on by itself.
            self.device.write(&[COMMANDS, 0xB0 | page, 0x00, 0x10])?;
            self.device.write(&pixels(&line))?;
            *row = line;
        }
        Ok(())
    }
}

/// Off, while it is set up (section 4.4 of the application note, and the usual values for these modules).
fn switch_on(settings: &Settings) -> [u8; 25] {
    let Settings { height, flip, contrast } = *settings;
    let (segments, scan) = if flip { (0xA0, 0xC0) } else { (0xA1, 0xC8) };
    let pins = if height == 32 { 0x02 } else { 0x12 };
    #[rustfmt::skip]
    let commands = [
        COMMANDS, DISPLAY_OFF,
        0xD5, 0x80, // clock
        0xA8, height - 1, // lines
        0xD3, 0x00, 0x40, // nothing shifted
        0x8D, 0x14, // the charge pump makes the voltage
        0x20, 0x02, // page addressing
        segments, scan, 0xDA, pins,
        0x81, contrast,
        0xD9, 0xF1, 0xDB, 0x40, // pre-charge, deselect level
        0xA4, 0xA6, // shows the memory, not inverted
    ];
    commands
}

/// As many rows as the text needs.
fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let known = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        let line: Vec<char> = line.trim_end_matches('\r').chars().map(known).collect();
        lines.extend(line.chunks(COLUMNS).map(|part| part.iter().collect::<String>()));
        if line.is_empty() {
            lines.push(String::new());
        }
    }
    lines
}

/// The data of a row: a byte is a column of eight pixels, the lowest bit at the top.
fn pixels(row: &str) -> Vec<u8> {
    let mut data = vec![DATA];
    for c in row.bytes().chain(std::iter::repeat(b' ')).take(COLUMNS) {
        // A byte of the font is a row of eight pixels, the lowest bit at the left.
        let glyph = BASIC_LEGACY.get(usize::from(c)).copied().unwrap_or_default();
        data.extend((0..8).map(|x| (0..8).fold(0, |column, y| column | (glyph[y] >> x & 1) << y)));
    }
    data
}

/// Knows the commands that move and switch; those that take a byte are followed by it.
struct Simulated {
    on: bool,
    page: usize,
    column: usize,
    memory: [[u8; WIDTH]; 8],
}

impl I2cModel for Simulated {
    fn write(&mut self, bytes: &[u8], _: std::time::Duration) -> Result<(), BusError> {
        match bytes {
            [COMMANDS, commands @ ..] => {
                let mut commands = commands.iter().copied();
                while let Some(command) = commands.next() {
                    match command {
                        0x00..=0x0F => self.column = self.column & 0xF0 | usize::from(command),
                        0x10..=0x17 => self.column = self.column & 0x0F | usize::from(command & 7) << 4,
                        0xB0..=0xB7 => self.page = usize::from(command & 7),
                        DISPLAY_OFF | DISPLAY_ON => self.on = command == DISPLAY_ON,
                        0x20 | 0x81 | 0x8D | 0xA8 | 0xD3 | 0xD5 | 0xD9 | 0xDA | 0xDB => {
                            commands.next();
                        }
                        _ => {}
                    }
                }
            }
            [DATA, data @ ..] => {
                for byte in data {
                    self.memory[self.page][self.column] = *byte;
                    self.column = (self.column + 1) % WIDTH;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], _: std::time::Duration) -> Result<(), BusError> {
        buffer.fill(if self.on { 0x03 } else { 0x03 | IS_OFF });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use sedge_plugin::device::NoDelay;
    use sedge_plugin::sim::Wire;

    use super::*;

    /// A display that can be looked at.
    #[derive(Clone)]
    struct Seen(Arc<Mutex<Simulated>>);

    impl I2cModel for Seen {
        fn write(&mut self, bytes: &[u8], now: Duration) -> Result<(), BusError> {
            self.0.lock().unwrap().write(bytes, now)
        }
        fn read(&mut self, buffer: &mut [u8], now: Duration) -> Result<(), BusError> {
            self.0.lock().unwrap().read(buffer, now)
        }
    }

    fn open(height: u8) -> (Seen, Ssd1306) {
        let seen = Seen(Arc::new(Mutex::new(Simulated {
            on: false,
            page: 0,
            column: 0,
            memory: [[0xA5; WIDTH]; 8],
        })));
        let device = I2cDevice::new(0x3C, Wire::to(0x3C, seen.clone()), NoDelay);
        let display = Ssd1306::open(device, Settings { height, ..Settings::default() }).unwrap();
        (seen, display)
    }

    #[test]
    fn a_text_is_seen_where_it_belongs_and_the_rest_is_empty() {
        let (seen, mut display) = open(32);
        let done = display.operate("text", &json!({ "text": "21.5 °C\nL", "row": 2 })).unwrap();
        assert_eq!(done, json!({ "rows": ["", "", "21.5 ?C", "L"] }));
        let memory = seen.0.lock().unwrap().memory;
        // An L of the font: its foot is at the right below, its upright is higher than its foot.
        let l = &memory[3][..8];
        assert!(l[1..3].iter().all(|column| *column == 0b0111_1111) && l[5] & 0b0000_1111 == 0, "{l:02x?}");
        assert!(memory[0].iter().chain(&memory[1]).chain(&memory[3][8..]).all(|column| *column == 0));
        assert_eq!(display.operate("clear", &json!({})), Ok(json!({ "rows": ["", "", "", ""] })));
        assert_eq!(seen.0.lock().unwrap().memory[..4], [[0; WIDTH]; 4]);
    }

    #[test]
    fn a_long_text_goes_on_in_the_next_row_and_too_long_a_one_is_refused() {
        assert_eq!(lines("0123456789abcdefgh\n\nx"), ["0123456789abcdef", "gh", "", "x"]);
        let (_, mut display) = open(32);
        for args in [json!({ "text": "a\nb", "row": 3 }), json!({ "text": "x", "row": 4 }), json!({})] {
            assert!(matches!(display.operate("text", &args), Err(SensorError::Settings(_))), "{args}");
        }
        assert!(display.operate("text", &json!({ "text": "x".repeat(64) })).is_ok());
    }

    #[test]
    fn a_display_that_was_without_supply_is_noticed_and_a_closed_one_is_dark() {
        let (seen, mut display) = open(64);
        display.read(&mut Frame::default()).unwrap();
        seen.0.lock().unwrap().on = false;
        assert_eq!(display.read(&mut Frame::default()), Err(forgotten()));
        assert_eq!(display.operate("text", &json!({ "text": "x" })), Err(forgotten()));
        seen.0.lock().unwrap().on = true;
        display.close();
        assert!(!seen.0.lock().unwrap().on);
    }

    #[test]
    fn a_display_that_cannot_tell_whether_it_is_on_is_used_all_the_same() {
        struct Deaf;
        impl I2cModel for Deaf {
            fn write(&mut self, _: &[u8], _: Duration) -> Result<(), BusError> {
                Ok(())
            }
            fn read(&mut self, buffer: &mut [u8], _: Duration) -> Result<(), BusError> {
                buffer.fill(0xFF);
                Ok(())
            }
        }
        let device = I2cDevice::new(0x3C, Wire::to(0x3C, Deaf), NoDelay);
        let mut display = Ssd1306::open(device, Settings::default()).unwrap();
        assert!(display.operate("text", &json!({ "text": "x" })).is_ok());
        assert_eq!(display.read(&mut Frame::default()), Ok(()));
    }
}
