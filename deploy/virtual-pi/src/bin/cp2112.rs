//! Plays a CP2112 to the kernel: `cp2112 0.0.0.0:7000 bme280@0x76 tmp117@0x49`.
//!
//! The first word is where it listens for faults, the others are the chips on its bus. It ends when it is told to, or when
//! the kernel does not speak to it any more.

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use sedge_virtual_pi::bridge::Bridge;
use sedge_virtual_pi::bus::Spot;
use sedge_virtual_pi::control::{Bench, serve};
use sedge_virtual_pi::uhid::{Event, MAX_EVENT};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let listener = TcpListener::bind(words.next().ok_or("where shall it listen?")?)?;
    let mut bridge = Bridge::default();
    for word in words {
        bridge.bus.attach(&word.parse::<Spot>()?)?;
    }
    let plug = OpenOptions::new().read(true).write(true).open("/dev/uhid")?;
    let mut events = plug.try_clone()?;
    let bench = Arc::new(Bench::new(bridge, plug));
    bench.tell(&Bridge::hello())?;

    let (end, ended) = mpsc::channel();
    thread::spawn({
        let (bench, end) = (bench.clone(), end.clone());
        move || {
            let Err(error) = answer(&mut events, &bench);
            let _ = end.send(Err(error));
        }
    });
    thread::spawn(move || serve(&listener, &bench, &end));
    Ok(ended.recv()??)
}

/// Answers the kernel, until that fails.
fn answer(events: &mut impl Read, bench: &Bench) -> Result<Infallible, String> {
    let began = Instant::now();
    let mut buffer = [0; MAX_EVENT];
    loop {
        let length = events.read(&mut buffer).map_err(|error| format!("/dev/uhid: {error}"))?;
        let answer = bench.bridge().answer(&Event::parse(&buffer[..length]), began.elapsed());
        // The kernel refuses an answer when the bridge was pulled out since it asked.
        let _ = answer.map(|answer| bench.tell(&answer));
    }
}
