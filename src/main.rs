//! The `tidewheel` command.

use std::process::ExitCode;

/// Feature state is many small columns; this allocator hands them out faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidewheel::cli::main()
}
