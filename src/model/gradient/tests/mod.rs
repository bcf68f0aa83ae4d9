//! Every rule against finite differences; losses against plain arithmetic; what survives; what is refused.

mod activation;
mod arithmetic;
mod choice;
mod errors;
mod layout;
mod linear;
mod lookup;
mod losses;
mod models;
mod normalise;
mod old_sets;
mod reduce;
mod speed;

use proptest::prelude::*;

/// Two shapes that broadcast with each other.
fn broadcast() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
    let dims = prop::collection::vec((1_usize..5, 0_u8..4), 0..4);
    (dims, 0_usize..3, any::<bool>()).prop_map(|(dims, dropped, left)| {
        // 0: the left operand is stretched, 1: the right one.
        let stretched = |side: u8| dims.iter().map(|(size, which)| if *which == side { 1 } else { *size }).collect();
        let (mut a, mut b): (Vec<usize>, Vec<usize>) = (stretched(0), stretched(1));
        let shorter = if left { &mut a } else { &mut b };
        shorter.drain(..dropped.min(shorter.len()));
        (a, b)
    })
}
