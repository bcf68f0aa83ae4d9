//! Rows beside a plain vector, and what views make a table copy.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Push(i64),
    Write(prop::sample::Index, i64),
    Resize(usize),
    WriteAll,
    View,
    Drop(prop::sample::Index),
}

fn action() -> impl Strategy<Value = Action> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        4 => any::<i64>().prop_map(Action::Push),
        8 => (place(), any::<i64>()).prop_map(|(row, value)| Action::Write(row, value)),
        2 => (0_usize..300).prop_map(Action::Resize),
        1 => Just(Action::WriteAll),
        2 => Just(Action::View),
        1 => place().prop_map(Action::Drop),
    ]
}

fn all(rows: &Paged<i64>) -> Vec<[i64; 2]> {
    (0..rows.len()).map(|row| [rows.row(row)[0], rows.row(row)[1]]).collect()
}

proptest! {
    #[test]
    fn views_stay_what_they_were_and_the_rest_is_a_vector(
        actions in prop::collection::vec(action(), 1..200),
        // Few rows to a page, so that chunks fill up.
        page in prop::sample::select(vec![1, 2, 32]),
    ) {
        let mut rows = Paged::of_pages(2, page);
        let mut naive: Vec<[i64; 2]> = Vec::new();
        let mut views: Vec<(Paged<i64>, Vec<[i64; 2]>)> = Vec::new();
        for action in actions {
            match action {
                Action::Push(value) => {
                    rows.push(&[value, !value]);
                    naive.push([value, !value]);
                }
                Action::Write(row, value) if !naive.is_empty() => {
                    let row = row.index(naive.len());
                    rows.row_mut(row)[1] = value;
                    naive[row][1] = value;
                }
                Action::Resize(more) => {
                    rows.resize(naive.len() + more, &[7, 8]);
                    naive.resize(naive.len() + more, [7, 8]);
                }
                Action::WriteAll => {
                    rows.iter_mut().for_each(|value| *value = value.wrapping_mul(3));
                    naive.as_flattened_mut().iter_mut().for_each(|value| *value = value.wrapping_mul(3));
                }
                Action::View => views.push((rows.share(), naive.clone())),
                Action::Drop(view) if !views.is_empty() => {
                    views.swap_remove(view.index(views.len()));
                }
                _ => {}
            }
        }
        prop_assert_eq!(all(&rows), naive);
        for (view, expected) in &views {
            prop_assert_eq!(&all(view), expected);
        }
    }
}

#[test]
fn only_pages_that_a_view_holds_are_copied_and_each_once() {
    let mut rows = Paged::new(1);
    rows.resize(100_000, &[0_i64]);
    rows.get_mut(5);
    assert_eq!(rows.take_copied(), 0);
    let view = rows.share();
    (0..1_024).for_each(|row| *rows.get_mut(row) += 1);
    assert_eq!(rows.take_copied(), 8 * 1_024);
    (0..1_024).for_each(|row| *rows.get_mut(row) += 1);
    assert_eq!((rows.take_copied(), *view.get(3), *rows.get(3)), (0, 0, 2));
    drop(view);
    *rows.get_mut(90_000) = 1;
    assert_eq!(rows.take_copied(), 0, "nobody holds it any more");
}

#[test]
fn what_values_hold_elsewhere_counts_and_so_do_rows_that_were_replaced_under_a_view() {
    let mut rows = Paged::of_pages(1, 2).weighed(|list: &Vec<u8>| list.len());
    rows.resize(5, &[vec![1; 100]]);
    let view = rows.share();
    rows.get_mut(0).push(2);
    assert_eq!(rows.take_copied(), 200);
    rows.iter_mut().take(4).for_each(|list| list.push(3));
    // Of rows 2 to 4 alone.
    assert_eq!((rows.take_copied(), view.get(2).len()), (300, 100));
    let other = rows.share();
    rows.get_mut(0).push(4);
    let before = rows.replace(Paged::of_pages(1, 2).weighed(|list: &Vec<u8>| list.len()));
    // The first page, when it was copied, and then all others.
    assert_eq!((rows.take_copied(), before.len(), other.len()), (102 + 101 + 101 + 101 + 100, 5, 5));
    drop((view, other));
    drop(before);
    let mut rows = Paged::of_pages(1, 2);
    rows.resize(3, &[vec![7_u8]]);
    let held = rows.share();
    assert_eq!((rows.take(0), held.get(0)), (vec![7], &vec![7]));
}

#[test]
fn a_few_rows_have_a_small_chunk_that_grows() {
    let mut rows = Paged::new(1);
    let mut bytes = Vec::new();
    for row in 0..600_i64 {
        rows.push(&[row]);
        let view = rows.share();
        *rows.get_mut(0) = -1;
        bytes.push(rows.take_copied());
        drop(view);
    }
    // A page has 256 rows, and is all there is at first.
    assert_eq!([bytes[0], bytes[3], bytes[4], bytes[255], bytes[256], bytes[599]], [8, 32, 40, 2_048, 2_048, 2_048]);
    assert!(rows.iter().skip(1).copied().eq(1..600));
}

#[test]
fn of_a_chunk_half_of_which_was_written_everything_is_copied_and_then_no_more() {
    let mut rows = Paged::new(1);
    rows.resize(40_000, &[0_i64]);
    let view = rows.share();
    (0..64 * 256).for_each(|row| *rows.get_mut(row) += 1);
    assert_eq!(rows.take_copied(), 64 * 2_048);
    *rows.get_mut(64 * 256) += 1;
    assert_eq!(rows.take_copied(), 64 * 2_048);
    (0..32_768).for_each(|row| *rows.get_mut(row) += 1);
    assert_eq!(rows.take_copied(), 0);
    assert!(view.iter().all(|value| *value == 0));
    let (twice, once) = (64 * 256 + 1, 32_768);
    let expected = (0..40_000).map(|row| if row < twice { 2 } else { i64::from(row < once) });
    assert!(rows.iter().copied().eq(expected));
}

#[test]
fn rows_are_added_behind_a_view_a_page_at_a_time() {
    let mut rows = Paged::new(1);
    rows.resize(1_100, &[0_i64]);
    let view = rows.share();
    rows.push(&[1]);
    // What the last page had.
    assert_eq!(rows.take_copied(), 8 * (1_100 - 1_024));
    rows.resize(1_300, &[1]);
    assert_eq!(rows.take_copied(), 0);
    let other = rows.share();
    rows.resize(10_000, &[2]);
    let expected = |row| i64::from(row >= 1_100) + i64::from(row >= 1_300);
    assert!(rows.iter().copied().eq((0..10_000).map(expected)));
    assert!(other.iter().copied().eq((0..1_300).map(expected)));
    drop((view, other));
    *rows.get_mut(0) += 7;
    assert!(rows.iter().skip(1).copied().eq((1..10_000).map(expected)));
    assert_eq!((rows.len(), *rows.get(0)), (10_000, 7));
}

#[test]
fn what_was_written_beneath_a_view_stays_when_it_has_ended() {
    let mut rows = Paged::of_pages(1, 2);
    rows.resize(64, &[vec![0_u8]]);
    let view = rows.share();
    (0..8).for_each(|row| rows.get_mut(row).push(1));
    drop(view);
    rows.get_mut(20).push(2);
    // Bytes of a list itself: these are not weighed.
    assert_eq!(rows.take_copied(), 8 * size_of::<Vec<u8>>());
    let expected = |row| match row {
        0..8 => vec![0, 1],
        20 => vec![0, 2],
        _ => vec![0],
    };
    assert!((0..64).all(|row| *rows.get(row) == expected(row)));
}

#[test]
fn what_is_released_is_given_back() {
    let mut rows = Paged::new(1);
    rows.resize(100_000, &[0_i64]);
    let mut view = rows.share();
    view.release_below(70_000);
    // Of the chunks before the one that has row 70,000, whose first row is 65,536.
    *rows.get_mut(65_535) += 1;
    assert_eq!(rows.take_copied(), 0);
    *rows.get_mut(70_000) += 1;
    assert_eq!((rows.take_copied(), *view.get(70_000)), (2_048, 0));
}
