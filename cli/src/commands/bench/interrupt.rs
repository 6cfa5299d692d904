//! Ctrl-C as a wish to stop. The first one is remembered, the second one ends the program.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::signal::ctrl_c;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Exit code of a program that Ctrl-C ended, by the shells' convention.
const ENDED: i32 = 130;

/// Listens from now on. Where it cannot, Ctrl-C ends the program as usual, and its journal is still there.
pub fn listen() {
    // The thread sleeps in the kernel until a signal comes.
    let waiting = || {
        let Ok(runtime) = runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            if ctrl_c().await.is_ok() {
                ASKED.store(true, Ordering::Relaxed);
                if ctrl_c().await.is_ok() {
                    process::exit(ENDED);
                }
            }
        });
    };
    drop(thread::Builder::new().name("ctrl-c".to_owned()).spawn(waiting));
}

/// Whether Ctrl-C was pressed, or is about to be seen: it goes to this program and to those that it started at once, and what it did to
/// them may be seen first.
pub fn asked_soon() -> bool {
    const LATEST: Duration = Duration::from_millis(200);
    let start = Instant::now();
    while !asked() && start.elapsed() < LATEST {
        thread::sleep(Duration::from_millis(1));
    }
    asked()
}

/// Whether Ctrl-C was pressed.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}
