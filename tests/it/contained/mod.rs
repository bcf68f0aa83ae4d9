//! One bad row costs that row: every kind of failure at every place that evaluates, carries or learns from rows.
//!
//! ```text
//!                  zero division   overflow   not finite   out of range   too large   wrong shape
//!   an event's     case            case       case         case           never       never
//!   a model's row  case            case       case         case           case        case
//!   ...
//! ```
//!
//! A cell is a case, a test elsewhere that is the case already, or the reason why it can't occur. A case mixes bad rows with
//! good ones and holds the outcome against the same without the bad ones: each bad row is named with its reason and counted,
//! and everything else is as it is there, in steps of other sizes and with a restart in the middle.

mod events;
mod expressions;
mod models;
mod outputs;
mod references;
mod training;
mod vectors;

use std::fs;
use std::panic::catch_unwind;

use crate::taobao::root;
use Cell::{Case, Never, Told};

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    ZeroDivision,
    Overflow,
    NotFinite,
    OutOfRange,
    TooLarge,
    WrongShape,
}

const KINDS: [Kind; 6] =
    [Kind::ZeroDivision, Kind::Overflow, Kind::NotFinite, Kind::OutOfRange, Kind::TooLarge, Kind::WrongShape];

/// What the matrix has for a kind at a place.
enum Cell {
    /// Shows what becomes of it.
    Case(fn(Kind)),
    /// The file and the name of a test that shows it.
    Told(&'static str, &'static str),
    /// Why it can't occur.
    Never(&'static str),
}

macro_rules! places {
    ($($place:ident $test:ident,)+) => {
        /// Where a row can fail.
        #[derive(Debug, Clone, Copy, PartialEq)]
        enum Place { $($place),+ }

        const PLACES: &[Place] = &[$(Place::$place),+];

        $(
            #[test]
            fn $test() {
                hold(Place::$place);
            }
        )+
    };
}

places! {
    Event an_event_that_fails_in_one_table_costs_that_table_this_event_and_nothing_else,
    Row a_row_that_cannot_be_made_is_left_out_and_named_and_the_others_are_emitted,
    ScoreOn a_condition_of_scoring_that_fails_on_an_event_does_not_hold_for_it,
    Positive a_condition_of_labels_that_fails_on_an_event_does_not_hold_for_it,
    Feature a_feature_that_cannot_be_computed_costs_the_ranking_of_that_event_alone,
    Request a_request_whose_features_cannot_be_computed_is_refused_alone,
    Column a_column_of_a_table_that_fails_for_a_key_costs_the_vectors_that_read_it_and_no_others,
    Number a_vector_that_no_model_can_take_costs_the_ranking_of_that_event_alone,
    Model a_row_that_the_model_fails_on_costs_the_ranking_of_that_event_alone,
    Batch a_batch_that_the_model_fails_on_costs_no_row_that_it_takes_by_itself,
    Rows an_emitted_row_that_cannot_be_sent_is_a_dead_letter_and_the_others_are_sent,
    Delta a_row_that_delta_cannot_hold_is_a_dead_letter_and_the_others_are_kept,
    Rankings a_ranking_that_cannot_be_sent_costs_that_ranking,
    Examples examples_that_cannot_be_sent_together_are_sent_apart,
    Impressions impressions_that_cannot_be_sent_together_are_sent_apart,
    DeadLetters a_dead_letter_that_cannot_be_sent_is_cut,
    Reference a_row_of_a_reference_that_cannot_be_used_costs_that_row,
    Training an_example_that_cannot_be_learnt_from_costs_that_example,
}

const TYPED: &str =
    "expressions are typed when the pipeline is planned, and what breaks its type breaks the contract before";
const NOT_LARGER: &str = "no expression makes much out of little, so a value is no larger than what came in an event";
const NUMBER: &str = "a column of a vector is one number, whatever is in it";
const WIDE: &str = "every vector of a pipeline has the columns of its `vector.sql`";
const BOOLEAN: &str = "a condition gives true, false or NULL and nothing that has a size";
const MADE: &str = "the output is made: nothing is divided or added on its way to the broker";
const PLAIN: &str = "ids, times and finite scores are all that it holds, and JSON can hold each of them";
const BYTES: &str = "its numbers are written bit by bit, whatever they are";
const FIXED: &str = "its form follows from the pipeline, and nothing that comes in changes it";

/// Of each place what becomes of zero division, overflow, what is not finite, out of range, too large, of a wrong shape.
const MATRIX: &[(Place, [Cell; 6])] = {
    use expressions as e;
    const FIT: &str = "src/commit/fit.rs";
    const OUTSIZE: &str = "tests/it/outsize.rs";
    const LARGE_REPLY: &str =
        "a_reply_of_exactly_the_limit_arrives_and_a_larger_one_is_an_error_and_was_shown_to_nobody";
    &[
        (
            Place::Event,
            [Case(e::event), Case(e::event), Case(e::event), Case(e::event), Never(NOT_LARGER), Never(TYPED)],
        ),
        (Place::Row, [Case(e::row), Case(e::row), Case(e::row), Case(e::row), Never(NOT_LARGER), Never(TYPED)]),
        (Place::ScoreOn, [Case(e::on), Case(e::on), Case(e::on), Case(e::on), Never(BOOLEAN), Never(TYPED)]),
        (
            Place::Positive,
            [Case(e::positive), Case(e::positive), Case(e::positive), Case(e::positive), Never(BOOLEAN), Never(TYPED)],
        ),
        (
            Place::Feature,
            [
                Case(vectors::feature),
                Case(vectors::feature),
                Case(vectors::feature),
                Case(vectors::feature),
                Never(NUMBER),
                Never(WIDE),
            ],
        ),
        (
            Place::Request,
            [
                Case(vectors::requests),
                Case(vectors::requests),
                Case(vectors::requests),
                Case(vectors::requests),
                Told(OUTSIZE, LARGE_REPLY),
                Told("tests/it/broker.rs", "requests_are_ranked_or_refused_one_by_one"),
            ],
        ),
        (
            Place::Column,
            [
                Case(vectors::column),
                Case(vectors::column),
                Case(vectors::column),
                Case(vectors::column),
                Never(NUMBER),
                Never(WIDE),
            ],
        ),
        (
            Place::Number,
            [
                Case(vectors::number),
                Case(vectors::number),
                Case(vectors::number),
                Never("an integer of 64 bits is within what a float32 can be near to"),
                Never(NUMBER),
                Never(WIDE),
            ],
        ),
        (
            Place::Model,
            [
                Case(models::row),
                Case(models::row),
                Case(models::row),
                Case(models::row),
                Case(models::row),
                Case(models::row),
            ],
        ),
        (
            Place::Batch,
            [
                Never("what a batch divides by is a row's, or the model mixes rows and scores request by request"),
                Never("what a batch adds up is a row's, or the model mixes rows and scores request by request"),
                Told(
                    "src/score/isolate.rs",
                    "where_rows_depend_on_one_another_a_request_is_scored_as_if_it_were_alone_and_without_what_fails",
                ),
                Told("src/score/isolate.rs", "halving_leaves_out_the_rows_that_fail_alone_and_no_others"),
                Case(models::batch),
                Case(models::batch),
            ],
        ),
        (
            Place::Rows,
            [
                Never(MADE),
                Never(MADE),
                Told("src/commit/json.rs", "a_row_that_cannot_be_written_is_named_and_its_neighbours_are_as_they_were"),
                Case(outputs::row),
                Case(outputs::row),
                Never(FIXED),
            ],
        ),
        (
            Place::Delta,
            [
                Never(MADE),
                Told(
                    "src/engine/keeping.rs",
                    "a_row_that_delta_cannot_hold_is_left_out_and_named_and_its_neighbours_are_appended",
                ),
                Never("infinities and NaN are numbers in Delta"),
                Case(outputs::delta),
                Never("a file of Delta holds whatever a step emits"),
                Never("a table whose columns are not those of its history does not start"),
            ],
        ),
        (
            Place::Rankings,
            [Never(MADE), Never(MADE), Never(PLAIN), Never(PLAIN), Told(OUTSIZE, LARGE_REPLY), Never(FIXED)],
        ),
        (
            Place::Examples,
            [
                Never(MADE),
                Never(MADE),
                Told("src/learn/codec/tests.rs", "vectors_with_an_infinity_are_neither_written_nor_read"),
                Never(BYTES),
                Told(FIT, "examples_that_are_too_many_for_one_message_come_in_several_and_none_is_lost"),
                Never(FIXED),
            ],
        ),
        (
            Place::Impressions,
            [
                Never(MADE),
                Never(MADE),
                Never(BYTES),
                Never(BYTES),
                Told(FIT, "impressions_that_are_too_many_for_one_message_come_in_several"),
                Never(FIXED),
            ],
        ),
        (
            Place::DeadLetters,
            [
                Never(MADE),
                Never(MADE),
                Never("what it is about stands in it as it came"),
                Told("src/commit/json.rs", "a_row_that_cannot_be_written_can_be_read_and_keys_stay_apart"),
                Told(OUTSIZE, "a_dead_letter_that_is_too_large_is_cut_and_says_how_much_there_was"),
                Never(FIXED),
            ],
        ),
        (
            Place::Reference,
            [
                Case(references::division),
                Case(references::row),
                Case(references::row),
                Case(references::row),
                Case(references::too_large),
                Case(references::row),
            ],
        ),
        (
            Place::Training,
            [
                Case(training::example),
                Case(training::example),
                Told(
                    "src/learn/learner/tests.rs",
                    "an_example_that_cannot_be_learnt_from_is_left_out_and_the_others_are_learnt",
                ),
                Case(training::example),
                Never("examples come in messages that the broker took"),
                Case(training::example),
            ],
        ),
    ]
};

/// Runs all cases of a place, and sees to it that its other cells say why there is none.
fn hold(place: Place) {
    let (_, cells) = MATRIX.iter().find(|(other, _)| *other == place).unwrap();
    let holds = |cell: &Cell, kind: Kind| match cell {
        Case(run) => catch_unwind(|| run(kind)).is_ok(),
        Told(file, test) => is_test(file, test),
        Never(reason) => reason.contains(' '),
    };
    let failing = cells.iter().zip(KINDS).filter(|(cell, kind)| !holds(cell, *kind)).map(|(_, kind)| kind);
    let failing: Vec<Kind> = failing.collect();
    assert!(failing.is_empty(), "a case fails, a test is not there, or no reason is given: {failing:?} at {place:?}");
}

/// Whether a file has a test of this name.
fn is_test(file: &str, test: &str) -> bool {
    let text = fs::read_to_string(root().join(file)).unwrap_or_default();
    let Some((before, _)) = text.split_once(&format!("fn {test}(")) else { return false };
    before.lines().rev().take(4).any(|line| line.trim().starts_with("#[") && line.contains("test"))
}

#[test]
fn every_place_has_its_cells_once() {
    let places: Vec<Place> = MATRIX.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, PLACES, "the matrix has the places in their order");
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    assert!(is_test("tests/it/contained/mod.rs", "every_place_has_its_cells_once"));
    assert!(is_test("tests/it/broker.rs", "requests_are_ranked_or_refused_one_by_one"));
    assert!(!is_test("tests/it/contained/mod.rs", "hold") && !is_test("tests/it/nowhere.rs", "hold"));
}
