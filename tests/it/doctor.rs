//! `toolbridge doctor`: a healthy set-up has nothing to report, and each thing that can be wrong is named exactly: the
//! one step that fails, and what it says. `world` is a set-up of small servers in which single answers are replaced.

mod command;
mod door;
mod healthy;
mod oauth;
mod operator;
mod protocol;
mod tls;
mod world;
