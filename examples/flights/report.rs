//! The report on standard output, each step with its time, and a progress bar on standard error.

use folio::Result;
use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Prints titles, steps and answers.
pub(crate) struct Report {
    begun: Instant,
    /// What the last step was, and how long it took; printed with its result.
    step: Option<(String, Duration)>,
}

impl Report {
    pub(crate) fn begin() -> Report {
        println!("Flights that left New York City in 2013");
        Report { begun: Instant::now(), step: None }
    }

    pub(crate) fn title(&mut self, text: &str) {
        println!("\n{text}\n{}", "-".repeat(text.chars().count()));
    }

    /// Does something and takes its time, which [`Report::result`] prints.
    pub(crate) fn step<T>(&mut self, what: &str, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let answer = work();
        self.step = Some((what.to_owned(), start.elapsed()));
        answer
    }

    /// What came of the last step.
    pub(crate) fn result(&mut self, result: String) {
        if let Some((what, time)) = self.step.take() {
            println!("{what:<44} {result:>20} {:>12}", format!("{time:.1?}"));
        }
    }

    /// The answer to a question, and how long it took to find.
    pub(crate) fn question<T>(&mut self, text: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let answer = work()?;
        println!("\n{text:<65} {:>12}", format!("{:.1?}", start.elapsed()));
        Ok(answer)
    }

    pub(crate) fn line(&mut self, text: impl Display) {
        println!("  {text}");
    }

    pub(crate) fn end(&mut self, verdict: &str) {
        println!("\n{:<65} {:>12}", format!("Done: {verdict}."), format!("{:.1?}", self.begun.elapsed()));
    }
}

/// A number with commas between its thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A bar for what takes long. It appears after a moment, on a terminal only, and goes when the work is done.
pub(crate) struct Progress {
    whole: u64,
    next: Option<Instant>,
    is_drawn: bool,
}

/// Between two drawings, and before the first.
const PAUSE: Duration = Duration::from_millis(100);
const BAR_WIDTH: u64 = 40;

impl Progress {
    pub(crate) fn of(whole: u64) -> Progress {
        Progress { whole: whole.max(1), next: stderr().is_terminal().then(|| Instant::now() + PAUSE), is_drawn: false }
    }

    pub(crate) fn reached(&mut self, done: u64) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        self.next = Some(Instant::now() + PAUSE);
        self.is_drawn = true;
        let full = (BAR_WIDTH * done.min(self.whole) / self.whole) as usize;
        let bar = format!("{}{}", "#".repeat(full), "-".repeat(BAR_WIDTH as usize - full));
        // That the bar cannot be drawn is no reason to stop.
        let _ = write!(stderr(), "\r[{bar}] {:>3} %", 100 * done.min(self.whole) / self.whole);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn {
            let _ = write!(stderr(), "\r{:width$}\r", "", width = BAR_WIDTH as usize + 8);
        }
    }
}
