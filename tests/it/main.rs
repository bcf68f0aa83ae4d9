//! One binary for all integration tests: linking DataFusion more than once would cost minutes.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod broker;
mod check;
mod closed;
mod emitted;
mod faults;
mod fuzz;
mod kills;
mod layout;
mod leak;
mod learning;
mod oracle;
mod restart;
mod scripts;
mod silence;
mod taobao;
mod training;
mod windows;
