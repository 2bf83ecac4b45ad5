//! What is odd about a request: one function for each kind of oddity, most with many forms. In: dice and a draft. Out: the
//! draft, with one thing changed. New ways in which a request can differ belong here.

mod around;
mod message;
mod meta;

use super::{
    draft::{Dice, Draft},
    usual::Connection,
};

type Oddity = fn(&mut Dice, &mut Draft);

/// Everything that can be odd while a message is still a tree; what has many forms is there several times.
const ODDITIES: &[Oddity] = &[
    message::id,
    message::id,
    message::id,
    message::jsonrpc,
    message::method,
    message::params,
    message::twice,
    message::twice,
    message::unknown_key,
    message::escaped_key,
    message::order,
    message::arguments,
    message::argument,
    message::argument,
    message::name,
    message::name,
    message::rounds,
    meta::whole,
    meta::version,
    meta::capabilities,
    meta::client,
    meta::progress,
    meta::log_level,
    meta::trace,
    meta::timeout,
    meta::write_name,
    meta::foreign,
    around::version,
    around::method,
    around::name,
    around::repeated,
    around::accept,
    around::accept,
    around::content_type,
    around::preference,
    around::write_name,
    around::connection,
    around::seen,
];

/// Makes a call odd in so many ways as chance will have it: in none, mostly in one.
pub(super) fn draft(dice: &mut Dice, draft: &mut Draft, connections: &[Connection]) {
    let ways = dice.one(&[0, 0, 0, 1, 1, 1, 1, 2, 2, 3]);
    for _ in 0..ways {
        dice.one(ODDITIES)(dice, draft);
    }
    if ways > 0 && dice.percent(4) {
        around::other_connection(dice, draft, connections);
    }
    draft.write();
    if ways > 0 && dice.percent(12) {
        around::body(dice, draft);
    }
}
