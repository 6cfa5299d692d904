//! Sharing tasks among the threads of the current rayon pool, unless a caller has a use for all of them.

use std::cell::Cell;

use rayon::prelude::*;

/// Floating-point operations below which a task is not worth handing to another thread (tens of microseconds).
pub(crate) const WORTH_A_TASK: usize = 1 << 20;

thread_local! {
    /// Whether calls on this thread stay on it.
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Calls a function, in which layers, plans and operators do not share their work among threads: for callers who give each thread
/// calls of its own, such as parts of a batch. Results have the same bits.
///
/// [`threads`] is 1 in it. Scratch memory that is asked for in it, as by
/// [`Plan::workspace_len`](crate::Plan::workspace_len), is that of one thread. Products of a library ([`GemmBackend`](crate::GemmBackend))
/// and formulations as matrices may share what they do nevertheless.
///
/// ```
/// use convmat::{on_one_thread, threads};
///
/// assert_eq!(on_one_thread(threads), 1);
/// assert_eq!(threads(), rayon::current_num_threads());
/// ```
pub fn on_one_thread<R>(call: impl FnOnce() -> R) -> R {
    /// What was before, when the call returns or panics.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            IS_ALONE.set(self.0);
        }
    }
    let _before = Before(IS_ALONE.replace(true));
    call()
}

/// Threads that calls on this thread share their work among: those of the current rayon pool, or one in [`on_one_thread`].
#[must_use]
pub fn threads() -> usize {
    if IS_ALONE.get() { 1 } else { rayon::current_num_threads() }
}

/// The number of workers that share `tasks` tasks of about `flops` operations in all. The caller provides scratch
/// memory for each.
pub(crate) fn workers(tasks: usize, flops: u128) -> usize {
    let worth = usize::try_from(flops / WORTH_A_TASK as u128).unwrap_or(usize::MAX);
    threads().min(tasks).min(worth).max(1)
}

/// Runs `body` on every task. There are as many workers as `scratch` holds pieces of `scratch_per_worker` elements;
/// each gets a run of neighbouring tasks and a piece of its own. Which worker runs a task changes no result, because a
/// task owns its output.
pub(crate) fn for_each_task<Task: Send, T: Send>(
    tasks: &mut [Task],
    scratch: &mut [T],
    scratch_per_worker: usize,
    body: impl Fn(&mut Task, &mut [T]) + Sync,
) {
    let pieces = scratch.len().checked_div(scratch_per_worker).unwrap_or(threads()).max(1);
    if pieces == 1 || tasks.len() <= 1 {
        tasks.iter_mut().for_each(|task| body(task, scratch));
        return;
    }
    let run = tasks.len().div_ceil(pieces);
    if scratch_per_worker == 0 {
        tasks.par_chunks_mut(run).for_each(|tasks| tasks.iter_mut().for_each(|task| body(task, &mut [])));
        return;
    }
    tasks
        .par_chunks_mut(run)
        .zip(scratch.par_chunks_exact_mut(scratch_per_worker))
        .for_each(|(tasks, scratch)| tasks.iter_mut().for_each(|task| body(task, scratch)));
}

/// Runs `body` on every whole piece of `scratch`, each in a worker of its own; or once, on all of `scratch`, if that
/// holds fewer than two pieces.
pub(crate) fn for_each_piece<T: Send>(scratch: &mut [T], piece: usize, body: impl Fn(&mut [T]) + Send + Sync) {
    if scratch.len() < 2 * piece.max(1) {
        return body(scratch);
    }
    scratch.par_chunks_exact_mut(piece).for_each(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_whatever_the_scratch() {
        for (tasks, pieces, per_worker) in [(0, 1, 4), (1, 3, 4), (7, 3, 2), (8, 1, 5), (5, 9, 1), (6, 0, 0)] {
            let mut counts = vec![0; tasks];
            for_each_task(&mut counts, &mut vec![0u8; pieces * per_worker], per_worker, |count, scratch| {
                assert!(scratch.len() >= per_worker);
                *count += 1;
            });
            assert!(counts.iter().all(|&count| count == 1), "{tasks} tasks, {pieces} pieces");
        }
    }

    #[test]
    fn every_piece_has_a_worker() {
        for (pieces, piece, rest) in [(0, 0, 0), (1, 5, 3), (3, 4, 0), (4, 2, 1)] {
            let mut scratch = vec![0u8; pieces * piece + rest];
            for_each_piece(&mut scratch, piece, |piece| piece.iter_mut().for_each(|element| *element += 1));
            let count = if pieces < 2 { scratch.len() } else { pieces * piece };
            assert!(scratch[..count].iter().all(|&n| n == 1) && scratch[count..].iter().all(|&n| n == 0));
        }
    }

    #[test]
    fn work_stays_on_one_thread_where_that_is_asked_for() {
        let many = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        many.install(|| {
            assert_eq!(workers(usize::MAX, u128::MAX), 3);
            on_one_thread(|| {
                assert_eq!(workers(usize::MAX, u128::MAX), 1);
                assert_eq!(on_one_thread(threads), 1);
                assert_eq!(threads(), 1);
            });
            assert!(std::panic::catch_unwind(|| on_one_thread(|| panic!("whatever"))).is_err());
            assert_eq!(threads(), 3);
        });
    }

    #[test]
    fn small_work_stays_on_one_thread() {
        assert_eq!(workers(100, 10), 1);
        assert_eq!(workers(0, u128::MAX), 1);
        assert_eq!(workers(1, u128::MAX), 1);
        assert_eq!(workers(usize::MAX, u128::MAX), rayon::current_num_threads());
    }
}
