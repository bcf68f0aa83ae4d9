//! What a person chose about losses.

/// What to do about messages that were read and are not there any more, or are gone unread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// Stop and let a person choose.
    #[default]
    Stop,
    /// Go on with what is there. What was counted stays counted, what is gone is not.
    Accept,
}
