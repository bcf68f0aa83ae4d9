//! Cuts a JSON message into events: one object, an array of objects, or one object after another.
//!
//! ```text
//!   {"a":1}                      one event
//!   [{"a":1}, {"a":2}]           an event per element
//!   {"a":1}\n{"a":2}\n           an event per object, usually one per line
//!
//!   a flawed object              is refused alone: where it ends is known
//!   broken syntax in an array    refuses the rest of the message from that element on: where it ends is not known
//!   broken syntax among lines    refuses up to the next line that begins an object
//! ```

use std::ops::Range;

use super::check::ObjectCheck;
use super::column::Column;
use super::reject::{Flaw, RejectReason};
use super::scan::Scanner;

/// What some writers put before UTF-8. RFC 8259 lets a reader ignore it at the beginning, and nowhere else.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Levels of nesting through which the end of a refused event is looked for among lines.
const DEEPEST_SKIPPED: usize = 64;

/// The events of one message, one after another.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    payload: &'a [u8],
    scanner: Scanner<'a>,
    state: State,
}

/// A part of a message: an event that fits the contract, or bytes that are refused.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Event(Range<usize>),
    Refused(Range<usize>, Flaw),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Beginning,
    Sequence,
    FirstElement,
    LaterElement,
    AfterArray,
    Done,
}

impl<'a> Frames<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        let mut scanner = Scanner::new(payload);
        if payload.starts_with(BYTE_ORDER_MARK) {
            scanner.move_to(BYTE_ORDER_MARK.len());
        }
        Self { payload, scanner, state: State::Beginning }
    }

    /// The next part, or `None` at the end of the message. An event's values are appended to the columns; of one that is
    /// refused some may be, which are for the caller to take back.
    #[inline]
    pub(super) fn next(&mut self, check: &mut ObjectCheck, columns: &mut [Column]) -> Option<Frame> {
        let next = self.scanner.peek();
        let start = self.scanner.offset();
        match (self.state, next) {
            (State::Done, _) | (State::Sequence | State::AfterArray, None) => None,
            (State::Beginning, None) => {
                self.state = State::Done;
                let flaw = Flaw::new(RejectReason::InvalidJson, "expected an object, got an empty message");
                Some(Frame::Refused(0..self.payload.len(), flaw))
            }
            (State::Beginning, Some(b'[')) => {
                self.scanner.take(b'[');
                self.state = State::FirstElement;
                self.next(check, columns)
            }
            (State::Beginning | State::Sequence, Some(_)) => {
                self.state = State::Sequence;
                Some(self.event(check, columns))
            }
            (State::FirstElement | State::LaterElement, Some(b']')) => {
                self.scanner.take(b']');
                self.state = State::AfterArray;
                self.next(check, columns)
            }
            (State::FirstElement, _) => {
                self.state = State::LaterElement;
                Some(self.event(check, columns))
            }
            (State::LaterElement, _) if self.scanner.take(b',') => Some(self.event(check, columns)),
            (State::LaterElement, _) => Some(self.broken(start, self.scanner.error("`,` or `]`").into())),
            (State::AfterArray, Some(_)) => {
                Some(self.broken(start, self.scanner.error("the end of the message").into()))
            }
        }
    }

    fn event(&mut self, check: &mut ObjectCheck, columns: &mut [Column]) -> Frame {
        self.scanner.peek();
        let start = self.scanner.offset();
        match check.next_object(&mut self.scanner, columns) {
            Ok(()) => Frame::Event(start..self.scanner.offset()),
            Err(flaw) => self.refuse(start, flaw, check),
        }
    }

    /// Finds the end of a refused event, so that those after it can be read.
    #[cold]
    fn refuse(&mut self, start: usize, flaw: Flaw, check: &mut ObjectCheck) -> Frame {
        // In an array the end is looked for once at most. Among lines it may be looked for from every line anew, and then
        // the limit also bounds the work: a byte is passed again only by what is still open around it.
        let most = if self.state == State::Sequence { DEEPEST_SKIPPED } else { usize::MAX };
        self.scanner.move_to(start);
        match check.skip(&mut self.scanner, most) {
            Ok(()) => Frame::Refused(start..self.scanner.offset(), flaw),
            Err(flaw) => self.broken(start, flaw),
        }
    }

    /// Refuses what cannot be read, from `start` to the next place where reading can go on.
    fn broken(&mut self, start: usize, flaw: Flaw) -> Frame {
        let end = if self.state == State::Sequence { self.next_line_with_object(start) } else { None };
        match end {
            Some(end) => self.scanner.move_to(end),
            None => self.state = State::Done,
        }
        Frame::Refused(start..end.unwrap_or(self.payload.len()), flaw)
    }

    /// The first `{` after `from` that begins a line.
    fn next_line_with_object(&self, mut from: usize) -> Option<usize> {
        loop {
            from += 1 + self.payload.get(from..)?.iter().position(|&byte| byte == b'\n')?;
            let line = self.payload.get(from..)?;
            let indent = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
            if line.get(indent) == Some(&b'{') {
                return Some(from + indent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::check::Limits;
    use super::super::contract::Contract;
    use super::*;

    /// The message's parts: events as they are, refused bytes behind their reason.
    fn frames(payload: &str) -> Vec<String> {
        let contract = r#"{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}"#;
        let contract = Arc::new(Contract::parse(contract).expect("a contract"));
        let mut check = ObjectCheck::new(contract, Limits::default(), None);
        let mut frames = Frames::new(payload.as_bytes());
        let mut parts = Vec::new();
        while let Some(frame) = frames.next(&mut check, &mut []) {
            parts.push(match frame {
                Frame::Event(range) => payload[range].to_owned(),
                Frame::Refused(range, flaw) => format!("{}: {}", flaw.reason, &payload[range]),
            });
        }
        parts
    }

    #[test]
    fn a_message_is_an_object_an_array_or_lines() {
        assert_eq!(frames(r#" {"a":1} "#), [r#"{"a":1}"#]);
        assert_eq!(frames(r#"[{"a":1} , {"a":2}]"#), [r#"{"a":1}"#, r#"{"a":2}"#]);
        assert_eq!(frames("{\"a\":1}\n\r\n{\"a\":2}\n"), [r#"{"a":1}"#, r#"{"a":2}"#]);
        assert_eq!(frames("[]"), Vec::<String>::new());
    }

    #[test]
    fn a_byte_order_mark_is_ignored_before_a_message_and_nowhere_else() {
        let good = r#"{"a":1}"#;
        assert_eq!(frames(&format!("\u{feff}{good}")), [good]);
        assert_eq!(frames(&format!("\u{feff} [{good}]")), [good]);
        assert_eq!(frames(&format!("\u{feff}{good}\n{good}")), [good, good]);
        assert_eq!(frames("\u{feff}"), ["invalid_json: \u{feff}"]);
        for wrong in ["\u{feff}\u{feff}{\"a\":1}".to_owned(), format!(" \u{feff}{good}"), format!("[\u{feff}{good}]")] {
            assert!(frames(&wrong).iter().all(|part| part.starts_with("invalid_json")), "{wrong:?}");
        }
        assert_eq!(frames(&format!("{good}\n\u{feff}{good}\n{good}")).len(), 3);
    }

    #[test]
    fn a_flawed_event_is_refused_alone() {
        assert_eq!(
            frames(r#"[{"a":"x"}, 7, {"a":2}, {}]"#),
            [r#"wrong_type: {"a":"x"}"#, "wrong_type: 7", r#"{"a":2}"#, "missing_field: {}"]
        );
        assert_eq!(frames("{\"a\":null}\n{\"a\":2}"), [r#"wrong_type: {"a":null}"#, r#"{"a":2}"#]);
    }

    #[test]
    fn broken_syntax_in_an_array_refuses_the_rest() {
        assert_eq!(frames(r#"[{"a":1}, {"a":2, {"a":3}]"#), [r#"{"a":1}"#, r#"invalid_json: {"a":2, {"a":3}]"#]);
        assert_eq!(frames(r#"[{"a":1} {"a":2}]"#), [r#"{"a":1}"#, r#"invalid_json: {"a":2}]"#]);
        assert_eq!(frames(r#"[{"a":1}"#), [r#"{"a":1}"#, "invalid_json: "]);
        assert_eq!(frames(r#"[{"a":1}] x"#), [r#"{"a":1}"#, "invalid_json: x"]);
        assert_eq!(frames(r#"[{"a":1},]"#), [r#"{"a":1}"#, "invalid_json: ]"]);
    }

    #[test]
    fn broken_syntax_among_lines_refuses_up_to_the_next_object() {
        let good = r#"{"a":1}"#;
        let deep = "[".repeat(100);
        for broken in
            ["{\"a\":", "{\"a\":1,", "{\"a\":\"x", "}", "hello", "{\"b\":[\n1,\n}", "{\"b\":", "{\"b\":[", &deep]
        {
            let parts = frames(&format!("{good}\n{broken}\n  {good}\n{good}"));
            assert_eq!(parts.len(), 4, "{parts:?}");
            assert_eq!((parts[0].as_str(), parts[2].as_str(), parts[3].as_str()), (good, good, good));
            let reason = if broken == deep { "too_deep" } else { "invalid_json" };
            assert_eq!(parts[1].trim_end(), format!("{reason}: {broken}"));
        }
    }

    #[test]
    fn lines_that_never_close_do_not_cost_the_square_of_their_number() {
        let lines = 100_000;
        let parts = frames(&"{\"b\":[\n".repeat(lines));
        assert_eq!(parts.len(), lines);
    }

    #[test]
    fn an_empty_message_is_refused_whole() {
        assert_eq!(frames(""), ["invalid_json: "]);
        assert_eq!(frames(" \n"), ["invalid_json:  \n"]);
    }
}
