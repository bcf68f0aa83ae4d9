//! The bar or line at the bottom of a terminal, and logs that come between: they are written above it.

use std::io::{self, Write, stderr};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use tracing_subscriber::fmt::MakeWriter;

/// What is shown now.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// A bar that is shown until this is dropped. Where standard error is no terminal, nothing is drawn.
pub(super) struct Shown(ProgressBar);

impl Shown {
    /// Shows a bar; there is one at a time.
    pub(super) fn of(bar: ProgressBar) -> Self {
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        Self(bar)
    }

    pub(super) fn bar(&self) -> &ProgressBar {
        &self.0
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        *BAR.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Writes logs to standard error, above what is shown.
pub(super) struct Above;

impl MakeWriter<'_> for Above {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        Self
    }
}

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match bar {
            Some(bar) => bar.suspend(|| stderr().lock().write(bytes)),
            None => stderr().lock().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use indicatif::{ProgressDrawTarget, ProgressStyle, TermLike};

    use super::*;

    /// A terminal that writes down what it is told; `<` is a line that is emptied.
    #[derive(Debug, Clone, Default)]
    struct Terminal(Arc<Mutex<String>>);

    impl Terminal {
        fn note(&self, text: &str) {
            self.0.lock().unwrap().push_str(text);
        }

        fn take(&self) -> String {
            std::mem::take(&mut *self.0.lock().unwrap()).replace(' ', "")
        }
    }

    impl TermLike for Terminal {
        fn width(&self) -> u16 {
            40
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.note(&format!("{text}\n"));
            Ok(())
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.note(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            self.note("<");
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A warning began in the middle of the line that was being written over.
    #[test]
    fn a_line_that_comes_between_stands_above_the_bar() {
        let terminal = Terminal::default();
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap());
        let shown = Shown::of(bar);
        shown.bar().set_message("99/s");
        shown.bar().tick();
        assert!(terminal.take().ends_with("99/s"));
        // As `Above` does, to the terminal of this test.
        let current = BAR.lock().unwrap().clone();
        current.unwrap().suspend(|| terminal.write_line("WARN").unwrap());
        let told = terminal.take();
        let (before, after) = told.split_once("WARN\n").unwrap();
        assert!(before.ends_with('<') && after.ends_with("99/s"), "{told}");
        drop(shown);
        assert!(BAR.lock().unwrap().is_none());
    }
}
