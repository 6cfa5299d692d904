//! Ctrl-C. The first one is remembered as a request to stop, the second one ends the program.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::signal::ctrl_c;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Exit code of a program that Ctrl-C ended, by the shells' convention.
const ENDED: i32 = 130;

/// Listens for Ctrl-C from now on. Where that fails, Ctrl-C ends the program at once; its journal remains and can be
/// resumed.
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

/// Whether Ctrl-C was pressed, after waiting up to 200 ms to learn of it. The terminal sends the signal to this program
/// and to its child at the same time, so that the end of the child may be noticed before the signal.
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
