//! Signals that are passed on: received here, sent by the supervisor, which alone knows whether the child still lives.

use std::{future::poll_fn, io, task::Poll};

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that can be passed on. SIGTERM and SIGINT are not: they stop us, and us the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// SIGHUP, upon which our catalogue is read again, too.
    Hangup,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGQUIT.
    Quit,
    /// SIGWINCH.
    WindowChange,
}

/// All that are passed on.
pub(super) struct Signals(Vec<(Number, Signal)>);

impl Forwarded {
    fn of(self) -> (Number, SignalKind) {
        match self {
            Self::Hangup => (Number::HUP, SignalKind::hangup()),
            Self::User1 => (Number::USR1, SignalKind::user_defined1()),
            Self::User2 => (Number::USR2, SignalKind::user_defined2()),
            Self::Quit => (Number::QUIT, SignalKind::quit()),
            Self::WindowChange => (Number::WINCH, SignalKind::window_change()),
        }
    }
}

impl Signals {
    pub(super) fn new(forward: &[Forwarded]) -> io::Result<Self> {
        let listen = |forwarded: &Forwarded| {
            let (number, kind) = forwarded.of();
            Ok((number, signal(kind)?))
        };
        forward
            .iter()
            .map(listen)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// The next one; never, where none is passed on.
    pub(super) async fn next(&mut self) -> Number {
        poll_fn(|context| {
            for (number, received) in &mut self.0 {
                if received.poll_recv(context).is_ready() {
                    return Poll::Ready(*number);
                }
            }
            Poll::Pending
        })
        .await
    }
}
