//! Prints time and size of every frame of a source: `cargo run -p tsm-ingest --example frames -- test:`.

use std::error::Error;
use std::io::Write;
use std::time::Duration;

use tsm_ingest::{Flow, Pts, Session, SessionEvent, SessionOptions, Source};

fn main() -> Result<(), Box<dyn Error>> {
    let text = std::env::args().nth(1).ok_or("usage: frames SOURCE")?;
    let source = Source::parse(&text)?;
    let mut count = 0_u64;
    let session = Session::start(&source, &SessionOptions::default(), move |frame| {
        count += 1;
        let format = frame.format();
        let written = writeln!(
            std::io::stdout(),
            "{count} pts {:?} age {:?} {}x{} {:?} {:?}",
            frame.pts().map(Pts::since_start),
            frame.capture_age(),
            format.width_px,
            format.height_px,
            format.pixels,
            format.orientation,
        );
        if written.is_ok() { Flow::Continue } else { Flow::Stop }
    })?;
    loop {
        match session.next_event(Duration::from_secs(1)) {
            Some(SessionEvent::Failed(error)) => return Err(error.into()),
            Some(SessionEvent::EndOfStream) => return Ok(()),
            _ => {}
        }
    }
}
