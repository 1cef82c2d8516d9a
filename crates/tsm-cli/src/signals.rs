//! Ctrl-C and SIGTERM as a message: the first ends the run in order, the second at once.

use std::cell::Cell;
use std::io;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Gets a message at the first SIGINT, SIGTERM or SIGHUP (a terminal that is closed).
/// A second one ends the process with code 130.
///
/// # Errors
/// If the system refuses the handlers.
pub(crate) fn stop_signal() -> io::Result<Receiver<()>> {
    let second = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the check runs before the flag is set by the same signal.
        flag::register_conditional_shutdown(signal, 130, std::sync::Arc::clone(&second))?;
        flag::register(signal, std::sync::Arc::clone(&second))?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (sender, stop) = bounded(1);
    std::thread::Builder::new().name("tsm-signals".into()).spawn(move || {
        if signals.forever().next().is_some() {
            // The run may be over already.
            let _over = sender.send(());
        }
    })?;
    Ok(stop)
}

/// Whether the stop signal has come: asked again and again, for work that can be left between two clips.
///
/// # Errors
/// As [`stop_signal`].
pub(crate) fn stop_asked() -> io::Result<impl Fn() -> bool> {
    let (stop, is_stopped) = (stop_signal()?, Cell::new(false));
    Ok(move || {
        is_stopped.set(is_stopped.get() || stop.try_recv().is_ok());
        is_stopped.get()
    })
}

/// Makes a file that grows over the system's limit (`ulimit -f`) an error of the write, as a full disk is: unheard, the
/// signal would end the process without a word.
///
/// # Errors
/// If the system refuses the handler.
pub(crate) fn survive_file_limit() -> io::Result<()> {
    // What the flag says is of no interest: the write says it, too.
    flag::register(SIGXFSZ, std::sync::Arc::default()).map(drop)
}
