//! Memory between two pages that nobody may touch: an access beyond either end stops the program. For tests.

use std::ops::{Deref, DerefMut};

/// Elements that touch a forbidden page.
pub(crate) struct Guarded<T> {
    map: *mut libc::c_void,
    /// Bytes of the map, forbidden pages included.
    bytes: usize,
    start: *mut T,
    len: usize,
}

/// Which end of the elements touches a forbidden page; the other one is less than a page away from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuardedEnd {
    First,
    Last,
}

impl<T: Copy> Guarded<T> {
    pub(crate) fn new(values: &[T], end: GuardedEnd) -> Self {
        // SAFETY: `sysconf` returns a number and takes no pointer.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        let inner = size_of_val(values).next_multiple_of(page);
        let bytes = inner + 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: without `MAP_FIXED` the system chooses an address range that nothing uses.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED);
        let first = map.cast::<u8>().wrapping_add(page);
        // SAFETY: `first..first + inner` are whole pages of the map just made, which has one more page on either side
        // of them.
        let opened = unsafe { libc::mprotect(first.cast(), inner, libc::PROT_READ | libc::PROT_WRITE) };
        assert!(inner == 0 || opened == 0);
        let start = match end {
            GuardedEnd::First => first,
            GuardedEnd::Last => first.wrapping_add(inner - size_of_val(values)),
        }
        .cast::<T>();
        assert!(start.is_aligned());
        // SAFETY: `start` was asserted to be aligned, and the bytes of `values` from there on lie in the `inner` bytes
        // that were opened; the map is new, so that it does not overlap `values`.
        unsafe { start.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        Self { map, bytes, start, len: values.len() }
    }
}

impl<T> Deref for Guarded<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `new` copied `len` elements to the aligned `start`, and the map exists until `drop`; `self` is
        // borrowed meanwhile.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `new` copied `len` elements to the aligned `start`, and the map exists until `drop`. The elements are
        // reached through `self` alone, which is borrowed mutably meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: `map` and `bytes` are those of the one map that `new` made, and a value that is dropped is not
        // borrowed.
        let closed = unsafe { libc::munmap(self.map, self.bytes) };
        debug_assert_eq!(closed, 0);
    }
}

/// A child process that reads a forbidden page dies of it.
#[test]
fn forbidden_pages_are_forbidden() {
    for (end, distance) in [(GuardedEnd::First, -1), (GuardedEnd::Last, 3)] {
        let elements = Guarded::new(&[1f32, 2., 3.], end);
        assert_eq!(elements[..], [1., 2., 3.]);
        // SAFETY: the child reads one address and calls `_exit`, which is safe to call after a fork: it takes no lock
        // that another thread of this process may have held.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: the condition of `read_volatile`, an address that may be read, is broken on purpose, which is
            // what this test is about. The address lies in a page of this map that was never opened, so that the
            // processor refuses the access and the system ends the child, which shares no memory with its parent.
            // `_exit` has no condition.
            unsafe {
                std::ptr::read_volatile(elements.as_ptr().wrapping_offset(distance));
                libc::_exit(0);
            }
        }
        let mut status = 0;
        // SAFETY: `status` is an integer of this function, and `waitpid` writes nothing else.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(!libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0, "{end:?}: the access went through");
    }
}
