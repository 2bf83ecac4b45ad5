//! Writes happen once: whatever breaks between a client and the record, its retries make no second one; and whatever did
//! not break, two wishes are two records.

mod cuts;
mod kill;
mod named;
mod repeated;
mod retrying;
mod wishes;
