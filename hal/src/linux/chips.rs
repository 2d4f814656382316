//! What `/dev/gpiochip*` are, and who has their lines; nothing is claimed for it.

use std::path::Path;

use gpiocdev::{Chip, Error};

use crate::lines::LineError;
use crate::scan::{GpioChip, nodes};

/// The GPIO chips in a folder such as `/dev`; those that this user may not open are left out.
pub fn gpio_chips(folder: &Path) -> Vec<GpioChip> {
    let chip = |path| {
        let info = Chip::from_path(&path).ok()?.info().ok()?;
        Some(GpioChip { path, label: info.label, lines: info.num_lines })
    };
    nodes(folder, "gpiochip").into_iter().filter_map(chip).collect()
}

/// Who has a line of a chip; none where it is free.
///
/// # Errors
/// When there is no such chip or line, or it may not be looked at.
pub fn line_user(path: &Path, line: u32) -> Result<Option<String>, LineError> {
    let gone = |error: Error| LineError::Gone(format!("{}: {}", path.display(), sedge_plugin::chain(&error)));
    let chip = Chip::from_path(path).map_err(gone)?;
    let lines = chip.info().map_err(gone)?.num_lines;
    if line >= lines {
        return Err(LineError::NoSuchLine { line, last: lines.saturating_sub(1) });
    }
    let info = chip.line_info(line).map_err(gone)?;
    let named = if info.consumer.is_empty() { "the kernel".into() } else { info.consumer };
    Ok(info.used.then_some(named))
}
