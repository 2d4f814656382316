//! Who answers for a plugin: a minisign signature over the list of its files.
//!
//! `SHA256SUMS` has the hash of every file but itself and `plugin.minisig`, as `sha256sum` writes it; `plugin.minisig` is the
//! signature over that file: `minisign -Sm SHA256SUMS -x plugin.minisig`. It must not take a file for signed that the list does
//! not have.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use minisign_verify::{Error, PublicKey, Signature};

use super::tree::{Sums, first_three};

/// The list that is signed.
pub const SUMS_FILE: &str = "SHA256SUMS";

/// The signature.
pub const SIGNATURE_FILE: &str = "plugin.minisig";

/// Bytes of a list, and of a signature.
const MOST: u64 = 4 * 1024 * 1024;

/// What a signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// There is none.
    No,
    /// It is by nobody whom the config knows.
    Unknown,
    /// It is by one of the keys of the config: this one.
    By(String),
}

/// What the signature of a folder is worth, whose files hash to `sums`.
///
/// # Errors
/// It is by a known key, or by nobody, and does not fit the files.
pub(super) fn signed(folder: &Path, sums: &Sums, keys: &[String]) -> Result<Signed, String> {
    let list =
        read(&folder.join(SUMS_FILE)).map_err(|error| format!("{SUMS_FILE} cannot be read: {error}"))?;
    let signature = read(&folder.join(SIGNATURE_FILE));
    let signature = signature.map_err(|error| format!("{SIGNATURE_FILE} cannot be read: {error}"))?;
    let Some(signature) = signature else { return Ok(Signed::No) };
    let list =
        list.ok_or_else(|| format!("there is a {SIGNATURE_FILE}, but no {SUMS_FILE} that it could be of"))?;
    let signature =
        Signature::decode(&signature).map_err(|_| format!("{SIGNATURE_FILE} is no minisign signature"))?;
    for key in keys {
        let public = PublicKey::from_base64(key.trim())
            .map_err(|_| format!("[plugins] keys: `{key}` is no minisign public key"))?;
        match public.verify(list.as_bytes(), &signature, false) {
            Ok(()) => return fits(&list, sums).map(|()| Signed::By(key.trim().to_owned())),
            Err(Error::UnexpectedKeyId) => {}
            Err(Error::UnexpectedAlgorithm) => {
                return Err(format!("{SIGNATURE_FILE} is of the old kind (-l): sign again without it"));
            }
            Err(_) => return Err(format!("{SIGNATURE_FILE} is not the signature of {SUMS_FILE}")),
        }
    }
    fits(&list, sums).map(|()| Signed::Unknown)
}

/// Whether the list has all files and nothing else.
fn fits(list: &str, sums: &Sums) -> Result<(), String> {
    let list =
        Sums::parse(list).ok_or_else(|| format!("{SUMS_FILE} is not a list as `sha256sum` writes it"))?;
    let differences = signable(sums).differences(&list);
    if differences.is_empty() {
        return Ok(());
    }
    Err(format!("these are not the files that {SUMS_FILE} lists: {}", first_three(&differences)))
}

/// All that a signature is to cover.
#[must_use]
pub(super) fn signable(sums: &Sums) -> Sums {
    let files = sums.0.iter().filter(|(file, _)| *file != SUMS_FILE && *file != SIGNATURE_FILE);
    Sums(files.map(|(file, sum)| (file.clone(), sum.clone())).collect())
}

/// None where there is none.
fn read(file: &Path) -> io::Result<Option<String>> {
    match fs::symlink_metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a file")),
        Ok(_) => {
            let mut text = String::new();
            File::open(file)?.take(MOST).read_to_string(&mut text)?;
            Ok(Some(text))
        }
    }
}
