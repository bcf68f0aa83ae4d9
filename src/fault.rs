//! Whose fault an error is, and what follows from it.
//!
//! Every error that can end a pipeline or a command says both, so that nobody has to look into its variants: what is tried
//! again follows the remedy, an exit code follows the fault. One retry looks all the same: training asks the registry again also
//! where the remedy is another (`PatientRegistry`), since serving goes on meanwhile, and nothing is lost by asking in vain.
//!
//! ```text
//!   judgement   fault      remedy    for instance
//!   OPERATOR    operator   stop      a setting, an address, missing rights, two workers of one pipeline
//!   DATA        data       stop      a division by zero, a damaged file, messages that the broker has lost
//!   PASSES      outside    wait      a cluster that is choosing another leader
//!   OUTSIDE     outside    restart   a broker that nobody can reach, a full disk
//!   DEFECT      bug        stop      a matrix that is not as long as its caller says
//!   CRASH       bug        restart   a thread that panicked
//! ```
//!
//! There are no other pairs. It does not say how often to try again or how long to wait: that is for whoever does.

use std::{fmt, io};

/// Whose fault an error is: who has to act, and where to look first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Whoever runs the program: settings, arguments, SQL, a model that does not fit, rights, a second worker.
    Operator,
    /// What was read: it breaks its format, fails an expression, is damaged, or is no longer there.
    Data,
    /// What the program depends on and does not own: the broker, the network, a disk, a bucket.
    Outside,
    /// The program itself.
    Bug,
}

/// What follows an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// A person must change or decide something first. A supervisor must not start the process again: it meets the same wall.
    Stop,
    /// Try the same again, in this process, after a while: it passes by itself. Who no longer wants to wait takes it for
    /// [`Restart`](Self::Restart).
    Wait,
    /// End this process and start another one, after a while: it goes on from what is committed. No person is needed, unless
    /// it comes again and again.
    Restart,
}

/// A fault and its remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    fault: Fault,
    remedy: Remedy,
}

/// An error that knows whose fault it is and what follows.
///
/// An implementation names every variant, so that a new one must decide; what wraps another error asks that one.
pub(crate) trait Judged {
    /// Both at once.
    fn judgement(&self) -> Judgement;

    /// What follows.
    fn remedy(&self) -> Remedy {
        self.judgement().remedy
    }
}

impl Judgement {
    /// Whoever runs the program must change something.
    pub const OPERATOR: Self = Self { fault: Fault::Operator, remedy: Remedy::Stop };
    /// What was read can't be used, today or after a start.
    pub const DATA: Self = Self { fault: Fault::Data, remedy: Remedy::Stop };
    /// Something outside fails for a moment.
    pub const PASSES: Self = Self { fault: Fault::Outside, remedy: Remedy::Wait };
    /// Something outside fails for longer than this process can wait for.
    pub const OUTSIDE: Self = Self { fault: Fault::Outside, remedy: Remedy::Restart };
    /// A bug that the same input shows again.
    pub const DEFECT: Self = Self { fault: Fault::Bug, remedy: Remedy::Stop };
    /// A bug that took a part of this process with it; another process begins afresh.
    pub const CRASH: Self = Self { fault: Fault::Bug, remedy: Remedy::Restart };

    /// What an error of the operating system means where nothing more is known of it.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::AddrInUse
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Unsupported => Self::OPERATOR,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::DATA,
            _ => Self::OUTSIDE,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(self) -> Fault {
        self.fault
    }

    /// What follows.
    #[must_use]
    pub fn remedy(self) -> Remedy {
        self.remedy
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Data => "data",
            Self::Outside => "outside",
            Self::Bug => "bug",
        })
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Wait => "wait",
            Self::Restart => "restart",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_the_operators_the_datas_or_from_outside() {
        for (kind, judgement) in [
            (io::ErrorKind::NotFound, Judgement::OPERATOR),
            (io::ErrorKind::PermissionDenied, Judgement::OPERATOR),
            (io::ErrorKind::InvalidData, Judgement::DATA),
            (io::ErrorKind::UnexpectedEof, Judgement::DATA),
            (io::ErrorKind::StorageFull, Judgement::OUTSIDE),
            (io::ErrorKind::ConnectionRefused, Judgement::OUTSIDE),
            (io::ErrorKind::Other, Judgement::OUTSIDE),
        ] {
            assert_eq!(Judgement::of_io(&kind.into()), judgement, "{kind:?}");
        }
    }

    #[test]
    fn only_what_is_from_outside_is_waited_for() {
        for judgement in [
            Judgement::OPERATOR,
            Judgement::DATA,
            Judgement::PASSES,
            Judgement::OUTSIDE,
            Judgement::DEFECT,
            Judgement::CRASH,
        ] {
            let may_pass = matches!(judgement.fault(), Fault::Outside | Fault::Bug);
            assert_eq!(judgement.remedy() == Remedy::Wait, judgement == Judgement::PASSES, "{judgement:?}");
            assert!(judgement.remedy() == Remedy::Stop || may_pass, "{judgement:?}");
        }
    }

    #[test]
    fn both_are_said_in_one_word() {
        let words = [Judgement::OPERATOR, Judgement::DATA, Judgement::PASSES, Judgement::CRASH]
            .map(|judgement| format!("{}/{}", judgement.fault(), judgement.remedy()));
        assert_eq!(words, ["operator/stop", "data/stop", "outside/wait", "bug/restart"]);
    }
}
