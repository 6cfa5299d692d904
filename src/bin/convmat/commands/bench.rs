//! `convmat bench`: formulations measured against each other.
//!
//! This file turns arguments into a [`record::Run`] and writes what comes of it; what the figures mean is said elsewhere.

// Until the command exists.
#![allow(dead_code)]

mod record;
