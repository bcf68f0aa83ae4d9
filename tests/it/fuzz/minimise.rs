//! A failing input made small: what can be left out is left out.

use std::time::{Duration, Instant};

const MOST_TRIES: usize = 4_000;
const LONGEST: Duration = Duration::from_secs(20);

/// The smallest input found that still fails: halves, quarters and so on down to single bytes are left out in turn.
pub fn minimise(input: &[u8], mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let until = Instant::now() + LONGEST;
    let mut best = input.to_vec();
    let (mut size, mut tries) = (best.len().div_ceil(2), 0);
    while size > 0 {
        let (mut start, mut is_smaller) = (0, false);
        while start < best.len() {
            if tries == MOST_TRIES || Instant::now() > until {
                return best;
            }
            let end = (start + size).min(best.len());
            let candidate = [&best[..start], &best[end..]].concat();
            tries += 1;
            if fails(&candidate) {
                best = candidate;
                is_smaller = true;
            } else {
                start = end;
            }
        }
        size = if is_smaller && size == 1 { 1 } else { size / 2 };
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes() {
        let fails = |input: &[u8]| input.contains(&b'x') && input.ends_with(b"z");
        assert_eq!(minimise(b"abcxdefghijklmnopqxrstuvwz", fails), b"xz");
    }
}
