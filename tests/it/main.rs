//! One binary for all integration tests: linking DataFusion more than once would cost minutes.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests wait for conditions within a time, and end with their tasks")]
// Texts of reports and small columns are made the short way: nothing here is hot.
#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::from_iter_instead_of_collect,
    clippy::match_wild_err_arm,
    clippy::needless_pass_by_value
)]

mod analyst;
mod beside;
mod broker;
mod brought;
mod changed;
mod check;
mod clients;
mod closed;
mod contained;
mod docs;
mod emitted;
mod encoded;
mod erring_model;
mod exit_codes;
mod exported;
mod faults;
mod first;
mod fuzz;
mod imported;
mod kills;
mod layout;
mod leak;
mod learning;
mod oracle;
mod outsize;
mod payloads;
mod ranges;
mod references;
mod remade;
mod restart;
mod rollback;
mod scripts;
mod seen;
mod shown;
mod silence;
mod sources;
mod stopped;
mod taobao;
mod training;
mod typed;
mod unscorable;
mod views;
mod walk;
mod windows;
