//! The requests of i2c-dev. The only `unsafe` of the workspace.
//!
//! `linux/i2c-dev.h` and `linux/i2c.h` of the kernel's interface, which does not change.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;

const I2C_TIMEOUT: libc::Ioctl = 0x0702;
const I2C_SLAVE: libc::Ioctl = 0x0703;
const I2C_FUNCS: libc::Ioctl = 0x0705;
const I2C_RDWR: libc::Ioctl = 0x0707;

/// The adapter can do plain I2C.
pub(super) const FUNC_I2C: libc::c_ulong = 1;

const M_RD: u16 = 1;
/// `I2C_RDWR_IOCTL_MAX_MSGS`.
const MAX_MESSAGES: usize = 42;

/// One message of a transfer.
pub(super) enum Message<'a> {
    Write(&'a [u8]),
    Read(&'a mut [u8]),
}

#[repr(C)]
struct RawMessage {
    address: u16,
    flags: u16,
    length: u16,
    buffer: *mut u8,
}

#[repr(C)]
struct Transfer {
    messages: *mut RawMessage,
    count: u32,
}

/// What the adapter can do.
pub(super) fn functions(file: &File) -> Result<libc::c_ulong, Errno> {
    let mut functions: libc::c_ulong = 0;
    // SAFETY: the request writes one unsigned long to the address, which is that of one that lives.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), I2C_FUNCS, &raw mut functions) })?;
    Ok(functions)
}

/// Sets how long a transfer may take, in units of 10 ms, for all who use the adapter.
pub(super) fn set_timeout(file: &File, ticks: u32) -> Result<(), Errno> {
    // SAFETY: the request takes a number and no address.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), I2C_TIMEOUT, libc::c_ulong::from(ticks)) }).map(drop)
}

/// Asks for an address: EBUSY where a driver of the kernel has it.
pub(super) fn set_address(file: &File, address: u8) -> Result<(), Errno> {
    // SAFETY: the request takes a number and no address.
    Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), I2C_SLAVE, libc::c_ulong::from(address)) }).map(drop)
}

/// Does all messages, with a repeated start between them. Fewer than all is an error: what an adapter did not read stays
/// zero, and would pass for a reading.
pub(super) fn transfer(file: &File, address: u8, messages: &mut [Message<'_>]) -> Result<(), Errno> {
    if messages.is_empty() {
        return Ok(());
    }
    if messages.len() > MAX_MESSAGES {
        return Err(Errno::EINVAL);
    }
    let mut raw = Vec::with_capacity(messages.len());
    for message in messages {
        let (flags, buffer, length) = match message {
            Message::Write(out) => (0, out.as_ptr().cast_mut(), out.len()),
            Message::Read(buffer) => (M_RD, buffer.as_mut_ptr(), buffer.len()),
        };
        let length = u16::try_from(length).map_err(|_| Errno::EINVAL)?;
        raw.push(RawMessage { address: address.into(), flags, length, buffer });
    }
    let count = u32::try_from(raw.len()).map_err(|_| Errno::EINVAL)?;
    let mut transfer = Transfer { messages: raw.as_mut_ptr(), count };
    // SAFETY: `transfer` and `raw` live through the call; each message has the address and the length of a buffer that its
    // `Message` borrows, writable where it is read into. The kernel does not write to those of M_RD-less messages.
    let done = Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), I2C_RDWR, &raw mut transfer) })?;
    if u32::try_from(done) == Ok(count) { Ok(()) } else { Err(Errno::EREMOTEIO) }
}
