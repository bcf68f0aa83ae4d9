//! Before a worker goes on: are the input streams still those that it read?
//!
//! ```text
//!   mark of a stream ─▶ facts: the stream as it is ─▶ decision: same │ begin │ set the mark │ stop
//! ```
//!
//! A broker can lose the end of a stream and use its sequences again, be restored from a backup, or be wiped. None of that
//! shows in sequences alone, so the stream's time of creation and its message at the recorded sequence are compared. A
//! message that expired after it was read can't be compared, and is taken for the same, unless the stream was created since. One
//! that was created since and has that message was put back from a backup: it is the same stream.
//!
//! Of a stream that is somebody else's, sequences are no counts: what is missing in between may never have been this pipeline's.
//! Only where its beginning has passed what it was known to be read to, somebody must say whether that matters.

mod check;
mod decide;
mod facts;
mod input;
mod on_loss;

pub(super) use check::check_inputs;
pub(crate) use input::Input;
pub(super) use input::open_inputs;
pub use on_loss::OnLoss;
