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
pub(crate) enum End {
    First,
    Last,
}

impl<T: Copy> Guarded<T> {
    pub(crate) fn new(values: &[T], end: End) -> Self {
        // SAFETY: asks for a number.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        let inner = size_of_val(values).next_multiple_of(page);
        let bytes = inner + 2 * page;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new map of its own, anywhere; nothing else can lie in it.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED);
        let first = map.cast::<u8>().wrapping_add(page);
        // SAFETY: whole pages of the map just made.
        let opened = unsafe { libc::mprotect(first.cast(), inner, libc::PROT_READ | libc::PROT_WRITE) };
        assert!(inner == 0 || opened == 0);
        let start = match end {
            End::First => first,
            End::Last => first.wrapping_add(inner - size_of_val(values)),
        }
        .cast::<T>();
        assert!(start.is_aligned());
        // SAFETY: as many bytes as the values take lie between the forbidden pages, which belong to this map alone.
        unsafe { start.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
        Self { map, bytes, start, len: values.len() }
    }
}

impl<T> Deref for Guarded<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements were copied there when the map was made.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and this is the only way to them.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the map is this one's own, and no borrow of its elements is left.
        let closed = unsafe { libc::munmap(self.map, self.bytes) };
        debug_assert_eq!(closed, 0);
    }
}

/// What a child process that touches a forbidden page ends with.
#[test]
fn forbidden_pages_are_forbidden() {
    for (end, distance) in [(End::First, -1), (End::Last, 3)] {
        let elements = Guarded::new(&[1f32, 2., 3.], end);
        assert_eq!(elements[..], [1., 2., 3.]);
        // SAFETY: the child reads one address and leaves, calling nothing that other threads may hold a lock of.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: not at all, and that is the point: the address belongs to a page without access, and the child dies of it.
            unsafe {
                std::ptr::read_volatile(elements.as_ptr().wrapping_offset(distance));
                libc::_exit(0);
            }
        }
        let mut status = 0;
        // SAFETY: waits for the child just made.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(!libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0, "{end:?}: the access went through");
    }
}
