//! "Did you mean": the known word that is closest to an unknown one.

/// The candidate with the fewest changed letters, when at most a third of the word (and at least one letter) changed.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let most = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|&(distance, _)| distance <= most)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// The question about the nearest candidate.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(question)
}

/// The question about one candidate.
pub(super) fn question(candidate: &str) -> String {
    format!("did you mean `{candidate}`?")
}

/// Levenshtein's distance: letters inserted, removed or replaced, one row of the table at a time.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (a_index, a_letter) in a.chars().enumerate() {
        let mut diagonal = a_index;
        let mut left = a_index + 1;
        for (b_letter, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(a_letter != b_letter);
            diagonal = *cell;
            left = replaced.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = a_index + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn close_words_are_found_and_far_ones_are_not() {
        let known = ["subjects", "contract", "time", "time_unit"];
        assert_eq!(nearest("subject", known), Some("subjects"));
        assert_eq!(nearest("Contrcat", known), Some("contract"));
        assert_eq!(nearest("tme", known), Some("time"));
        assert_eq!(nearest("retention", known), None);
        assert_eq!(nearest("", known), None);
    }

    /// The definition, without a table.
    fn naive(a: &[char], b: &[char]) -> usize {
        match (a, b) {
            ([], rest) | (rest, []) => rest.len(),
            ([a, a_rest @ ..], [b, b_rest @ ..]) if a == b => naive(a_rest, b_rest),
            ([_, a_rest @ ..], [_, b_rest @ ..]) => {
                1 + naive(a_rest, b_rest).min(naive(a_rest, b)).min(naive(a, b_rest))
            }
        }
    }

    proptest! {
        #[test]
        fn the_distance_is_the_one_of_the_definition(a in "[abé]{0,6}", b in "[abé]{0,6}") {
            let (a_letters, b_letters): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            prop_assert_eq!(distance(&a, &b), naive(&a_letters, &b_letters));
        }
    }
}
