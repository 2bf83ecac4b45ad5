//! How a process ended, in words and as the code that whoever started us is told.

use std::fmt;

/// What a shell adds to a signal's number.
const SIGNALLED: i32 = 128;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It was ended by us because it did not get healthy.
    NeverWell,
    /// It could not even be started.
    NotStarted,
}

impl End {
    /// The code of a shell.
    pub(super) fn code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => SIGNALLED + signal,
            Self::NeverWell | Self::NotStarted => 1,
        };
        u8::try_from(code).unwrap_or(1)
    }

    /// The code when we had asked it to end, with this signal: to do so is success. Some programs (and shells, of what
    /// they ran) say it with the code of the signal.
    pub(super) fn code_when_asked(self, signal: i32) -> u8 {
        let is_ours = self == Self::Signal(signal) || self == Self::Code(SIGNALLED + signal);
        if is_ours { 0 } else { self.code() }
    }

    /// The code where the end is a failure whatever the child thought of it.
    pub(super) fn code_of_failure(self) -> u8 {
        self.code().max(1)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::NeverWell => f.write_str("did not get healthy within child.start_timeout"),
            Self::NotStarted => f.write_str("could not be started"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: i32 = 15;

    #[test]
    fn a_code_is_passed_on_and_a_signal_is_told_as_shells_do() {
        assert_eq!(End::Code(3).code(), 3);
        assert_eq!(End::Code(0).code(), 0);
        assert_eq!(End::Signal(9).code(), 137);
    }

    #[test]
    fn who_ends_because_we_asked_has_succeeded() {
        for end in [End::Signal(TERM), End::Code(143), End::Code(0)] {
            assert_eq!(end.code_when_asked(TERM), 0, "{end}");
        }
        assert_eq!(End::Code(3).code_when_asked(TERM), 3);
        assert_eq!(End::Signal(11).code_when_asked(TERM), 139);
        assert_eq!(End::Signal(9).code_when_asked(TERM), 137);
    }

    #[test]
    fn a_backend_that_ends_with_success_has_failed_all_the_same() {
        assert_eq!(End::Code(0).code_of_failure(), 1);
        assert_eq!(End::Code(3).code_of_failure(), 3);
        assert_eq!(End::NeverWell.code_of_failure(), 1);
    }
}
