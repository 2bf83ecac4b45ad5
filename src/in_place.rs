//! Futures that are made where they stay. In: what makes a future. Out: the future, in a box. The memory is taken first: a
//! future that is made before it is copied there whole, with the room for all that it will ever hold, which in a call is
//! twelve kilobytes around a few pointers.

use std::pin::Pin;

/// What `make` makes, in a box. To be inlined, because only who sees both knows that there is nothing to copy yet.
#[inline(always)]
pub(crate) fn boxed<F>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}
