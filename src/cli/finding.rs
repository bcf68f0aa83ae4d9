//! What a look at this machine or at a server has found, and how it is printed.

use std::fmt;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    name: &'static str,
    pub(super) state: State,
    pub(super) detail: String,
    /// What to do about it, in a sentence; nothing when all is well.
    fix: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// Pipelines run, and yet somebody should know.
    Warn,
    /// Pipelines can't run.
    Missing,
}

impl Finding {
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), fix: None }
    }

    pub(super) fn warn(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, state: State::Warn, detail: detail.into(), fix: Some(fix.into()) }
    }

    pub(super) fn missing(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, state: State::Missing, detail: detail.into(), fix: Some(fix.into()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<13} {}", self.state.mark(), self.name, self.detail)?;
        match &self.fix {
            Some(fix) => write!(f, "\n{:<8} {:<13} -> {fix}", "", ""),
            None => Ok(()),
        }
    }
}

impl State {
    fn mark(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Missing => "MISSING",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_stands_on_the_line_below_its_finding() {
        let finding = Finding::missing("nats-server", "not found", "run scripts/fetch-runtime.sh");
        assert_eq!(
            finding.to_string(),
            "MISSING  nats-server   not found\n                       -> run scripts/fetch-runtime.sh"
        );
        assert_eq!(Finding::ok("clock", "now").to_string(), "ok       clock         now");
    }

    #[test]
    fn json_names_the_state_in_lower_case_and_the_absent_fix_as_null() {
        let json = serde_json::to_string(&[Finding::ok("clock", "now")]).unwrap();
        assert_eq!(json, r#"[{"name":"clock","state":"ok","detail":"now","fix":null}]"#);
    }
}
