//! Reads in flight: what look-ups found, gathered row by row while events are applied, evaluated together at the end.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, UInt32Array,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::{cast, interleave, nullif, take_arrays};
use arrow::datatypes::{DataType, Field, Float64Type, TimestampMicrosecondType};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::utils::collect_columns;
use hashbrown::HashMap;

use super::cells::RunningCells;
use super::column::as_float;
use super::level::Levels;
use super::plan::{CellRef, FeaturePlan, OutputSource, RunningKind};
use super::recent::{Recent, RecentBatch};
use super::waiting::Waiting;
use crate::event::one_zero;
use crate::sql::{Failures, decayed, declared_accumulator};
use crate::window::WindowError;
use crate::window::failed::FailedValue;
use crate::window::integer_sum;
use crate::window::keys::{KeyIndex, NO_SLOT};

/// Look-ups into one table, in the order they were made.
#[derive(Default)]
pub struct Reads {
    /// Per look-up, which of the reads below is its: those of one key at one time share one.
    pub(super) read_of: Vec<u32>,
    /// Per key, its last time, how many events had been applied then, and its read.
    pub(super) known: HashMap<u32, (i64, u64, u32)>,
    /// Per read, its key.
    pub(super) slots: Vec<u32>,
    /// Per read, its time.
    pub(super) times: Vec<i64>,
    /// Per read, its cells.
    pub(super) cells: Vec<i64>,
    /// Per read, its counts of distinct values.
    pub(super) distinct: Vec<i64>,
    /// Per read and list of last values, how many there are; and all of them in that order.
    pub(super) last_lengths: Vec<usize>,
    pub(super) last_words: Vec<i64>,
    /// Per horizon, the states and rows that cover it; empty where no merged aggregate needs them.
    pub(super) picks: Vec<Picks>,
}

/// The parts that reads over one horizon merge.
#[derive(Default)]
pub(super) struct Picks {
    pub(super) states: Vec<Pick>,
    pub(super) rows: Vec<Pick>,
}

/// Marks the source of a row that waits.
pub(super) const WAITING: u32 = u32::MAX;

/// A row of a run (`source` = level and run), of recent rows (`source` = 0 and batch) or of those that wait ([`WAITING`] and
/// their step), for a read.
#[derive(Clone, Copy)]
pub(super) struct Pick {
    pub(super) read: u32,
    pub(super) source: (u32, u32),
    pub(super) row: u32,
}

impl Reads {
    /// How many look-ups were made.
    pub(crate) fn len(&self) -> usize {
        self.read_of.len()
    }

    /// Forgets the look-ups and keeps the memory.
    pub fn clear(&mut self) {
        self.read_of.clear();
        self.known.clear();
        self.slots.clear();
        self.times.clear();
        self.cells.clear();
        self.distinct.clear();
        self.last_lengths.clear();
        self.last_words.clear();
        for picks in &mut self.picks {
            picks.states.clear();
            picks.rows.clear();
        }
    }
}

/// Everything that the evaluation of reads looks at.
pub(super) struct ReadSource<'a> {
    pub(super) plan: &'a FeaturePlan,
    pub(super) keys: &'a KeyIndex,
    pub(super) cells: &'a RunningCells,
    pub(super) levels: &'a Levels,
    pub(super) recent: &'a Recent,
    pub(super) waiting: &'a Waiting,
}

impl ReadSource<'_> {
    /// The batch of a row that was picked.
    fn batch(&self, source: (u32, u32)) -> Option<&RecentBatch> {
        match source {
            (WAITING, step) => self.waiting.batch(step),
            (_, batch) => self.recent.batch(batch as usize),
        }
    }

    /// The rows of the feature table for the look-ups; all NULL where the key has no row, and NULL in a column that fails,
    /// which is noted.
    pub(super) fn evaluate(&self, reads: &Reads, failed: &mut Vec<FailedValue>) -> Result<RecordBatch, WindowError> {
        let count = reads.slots.len();
        let schema = self.plan.schema();
        if self.keys.len() == 0 || count == 0 {
            let nothing = |field: &Arc<Field>| new_null_array(field.data_type(), reads.len());
            let columns = schema.fields().iter().map(nothing).collect();
            return Ok(RecordBatch::try_new(Arc::clone(schema), columns)?);
        }
        // A look-up that found no key borrows slot zero for the key columns and is blanked below.
        let slots: Vec<u32> = reads.slots.iter().map(|slot| if *slot == NO_SLOT { 0 } else { *slot }).collect();
        let mut columns = self.keys.columns(&slots)?;
        let mut overflows: Vec<(usize, Failures)> = Vec::new();
        for output in &self.plan.outputs {
            let mut failures = Failures::default();
            let field = self.plan.aggregate_schema.field(columns.len());
            let column = self.output(output, reads, field, &mut failures)?;
            if !failures.is_empty() {
                overflows.push((columns.len(), failures));
            }
            columns.push(one_zero(column)?);
        }
        let aggregates = RecordBatch::try_new(Arc::clone(&self.plan.aggregate_schema), columns)?;
        let exists = self.cells.place(self.plan.exists);
        let missing: BooleanBuffer =
            (0..count).map(|read| reads.cells[read * self.cells.width() + exists] == 0).collect();
        let missing = (missing.count_set_bits() > 0).then(|| BooleanArray::new(missing, None));
        let mut outputs = Vec::with_capacity(self.plan.projection.len());
        for (index, expression) in self.plan.projection.iter().enumerate() {
            let mut failures = Failures::default();
            for (aggregate, overflow) in &overflows {
                if collect_columns(expression).iter().any(|column| column.index() == *aggregate) {
                    overflow.iter().for_each(|(read, why)| failures.note(read, why.clone()));
                }
            }
            let exist = || missing.as_ref().map(|missing| !missing.values());
            let mut column = failures.evaluate(expression, &aggregates, exist)?;
            if let Some(kept) = failures.kept(count) {
                note(&failures, index, reads, failed);
                column = nullif(&column, &BooleanArray::new(!&kept, None))?;
            }
            outputs.push(match &missing {
                Some(missing) => nullif(&column, missing)?,
                None => column,
            });
        }
        if count < reads.len() {
            let picked = UInt32Array::from(reads.read_of.clone());
            outputs = take_arrays(&outputs, &picked, None)?;
        }
        Ok(RecordBatch::try_new(Arc::clone(schema), outputs)?)
    }

    /// The column of an aggregate call, which has this name and type. A sum that does not fit is NULL and noted.
    fn output(
        &self,
        output: &OutputSource,
        reads: &Reads,
        field: &Field,
        failures: &mut Failures,
    ) -> Result<ArrayRef, WindowError> {
        let column = |cell: CellRef| every(&reads.cells, self.cells.place(cell), self.cells.width());
        // A sum over nothing is NULL, and so are its like.
        let valid = |count: CellRef| Some(column(count).map(|count| count != 0).collect::<NullBuffer>());
        Ok(match output {
            OutputSource::Count(cell) => Arc::new(Int64Array::from_iter_values(column(*cell))),
            OutputSource::Sum { sum, count } => {
                Arc::new(Float64Array::new(column(*sum).map(as_float).collect(), valid(*count)))
            }
            OutputSource::IntegerSum { low, high, count } => {
                integer_sum::sums(column(*low).zip(column(*high)), valid(*count).as_ref(), field.name(), failures)
            }
            OutputSource::Average { sum, count } => {
                let averages = column(*sum).zip(column(*count)).map(|(sum, count)| as_float(sum) / count as f64);
                Arc::new(Float64Array::new(averages.collect(), valid(*count)))
            }
            OutputSource::Extreme { extreme, count } => match self.kind(*extreme) {
                RunningKind::Extreme(kind) if kind.is_float => {
                    let values = column(*extreme).map(|rank| kind.float(rank));
                    Arc::new(Float64Array::new(values.collect(), valid(*count)))
                }
                RunningKind::Extreme(kind) => {
                    let values = column(*extreme).map(|rank| kind.integer(rank));
                    // Of an integer, or the microseconds of a time.
                    cast(&Int64Array::new(values.collect(), valid(*count)), field.data_type())?
                }
                _ => Arc::new(Int64Array::new(column(*extreme).collect(), valid(*count))),
            },
            OutputSource::Distinct { distinct, place } => {
                let plans = &self.plan.distinct;
                let width: usize = plans.iter().map(|plan| plan.horizons.len()).sum();
                let before: usize = plans[..*distinct].iter().map(|plan| plan.horizons.len()).sum();
                Arc::new(Int64Array::from_iter_values(every(&reads.distinct, before + place, width)))
            }
            OutputSource::Last { last, place } => self.last(*last, *place, reads)?,
            OutputSource::Merged { aggregate, horizon } => self.merged(*aggregate, *horizon, reads)?,
            OutputSource::Decayed { sum, newest, horizon, half_life } => {
                let (sums, newest) = (self.merged(*sum, *horizon, reads)?, self.merged(*newest, *horizon, reads)?);
                let (sums, newest) =
                    (sums.as_primitive::<Float64Type>(), newest.as_primitive::<TimestampMicrosecondType>());
                let moved =
                    sums.iter().zip(newest).zip(&reads.times).map(|((sum, newest), t)| {
                        Some(decayed(sum?, i128::from(*t) - i128::from(newest?), *half_life))
                    });
                Arc::new(moved.collect::<Float64Array>())
            }
        })
    }

    fn kind(&self, cell: CellRef) -> RunningKind {
        self.plan.running[self.plan.horizons[cell.horizon].cells[cell.place]].kind
    }

    fn last(&self, last: usize, place: usize, reads: &Reads) -> Result<ArrayRef, WindowError> {
        let plans = &self.plan.last;
        let width: usize = plans.iter().map(|plan| plan.horizons.len()).sum();
        let before: usize = plans[..last].iter().map(|plan| plan.horizons.len()).sum();
        let (mut words, mut lengths, mut first) = (Vec::new(), Vec::with_capacity(reads.len()), 0);
        for (list, length) in reads.last_lengths.iter().enumerate() {
            if list % width == before + place {
                words.extend_from_slice(&reads.last_words[first..first + length]);
                lengths.push(*length);
            }
            first += length;
        }
        let value_type = &plans[last].value_type;
        let values: ArrayRef = match value_type {
            DataType::Float64 => Arc::new(Float64Array::from_iter_values(words.into_iter().map(as_float))),
            _ => Arc::new(Int64Array::from(words)),
        };
        let item = Arc::new(Field::new("item", value_type.clone(), true));
        Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), values, None)?))
    }

    fn merged(&self, aggregate: usize, horizon: usize, reads: &Reads) -> Result<ArrayRef, WindowError> {
        let plan = &self.plan.merged[aggregate];
        let picks = &reads.picks[horizon];
        // A read may have nothing to merge.
        let mut accumulator = declared_accumulator(&plan.function, &plan.argument_types, reads.slots.len())?;
        let states = Sources::of(&picks.states, |(level, run)| {
            self.levels.all().get(level as usize)?.run(run as usize)?.merged[aggregate].as_deref()
        });
        if let Some(first) = states.arrays.first() {
            let columns = states.gather(first.len())?;
            accumulator.merge_batch(&columns, &states.groups, reads.slots.len())?;
        }
        // Rows that the filter keeps out are dropped before they are gathered: often they are most of a busy key's.
        let passing: Vec<Pick>;
        let rows = if plan.filter.is_some() {
            passing = picks.rows.iter().filter(|pick| self.passes(aggregate, pick)).copied().collect();
            &passing
        } else {
            &picks.rows
        };
        let rows =
            Sources::of(rows, |source| self.batch(source).map(|batch| batch.merged[aggregate].arguments.as_slice()));
        if !rows.arrays.is_empty() {
            let arguments = rows.gather(plan.arguments.len())?;
            accumulator.update_batch(&arguments, &rows.groups, None, reads.slots.len())?;
        }
        Ok(accumulator.evaluate(EmitTo::All)?)
    }

    /// Whether the filter of an aggregate lets a recent row through.
    fn passes(&self, aggregate: usize, pick: &Pick) -> bool {
        let batch = self.batch(pick.source);
        let filter = batch.and_then(|batch| batch.merged[aggregate].filter.as_ref());
        filter.is_none_or(|filter| filter.value(pick.row as usize))
    }
}

/// Takes note of what failed in a column, for each look-up that it was read for.
fn note(failures: &Failures, column: usize, reads: &Reads, failed: &mut Vec<FailedValue>) {
    for (read, why) in failures.iter() {
        let look_ups = reads.read_of.iter().enumerate().filter(|(_, of)| **of as usize == read);
        failed.extend(look_ups.map(|(row, _)| FailedValue { row, column, failed: why.clone() }));
    }
}

/// Every `width`-th number, from `place` on.
fn every(numbers: &[i64], place: usize, width: usize) -> impl Iterator<Item = i64> {
    numbers.iter().skip(place).step_by(width.max(1)).copied()
}

/// The distinct sources of picks, and each pick's place in them.
struct Sources<'a, T> {
    arrays: Vec<&'a [T]>,
    places: Vec<(usize, usize)>,
    groups: Vec<usize>,
}

impl<'a, T> Sources<'a, T> {
    fn of(picks: &[Pick], columns: impl Fn((u32, u32)) -> Option<&'a [T]>) -> Self {
        let mut sources = Self { arrays: Vec::new(), places: Vec::with_capacity(picks.len()), groups: Vec::new() };
        let mut known: HashMap<(u32, u32), usize> = HashMap::new();
        // Picks come in runs of one source.
        let mut last: Option<((u32, u32), usize)> = None;
        for pick in picks {
            let index = match last.filter(|(source, _)| *source == pick.source) {
                Some((_, index)) => index,
                None => match known.get(&pick.source) {
                    Some(index) => *index,
                    None => {
                        let Some(arrays) = columns(pick.source) else { continue };
                        sources.arrays.push(arrays);
                        known.insert(pick.source, sources.arrays.len() - 1);
                        sources.arrays.len() - 1
                    }
                },
            };
            last = Some((pick.source, index));
            sources.places.push((index, pick.row as usize));
            sources.groups.push(pick.read as usize);
        }
        sources
    }
}

impl Sources<'_, ArrayRef> {
    /// The picked rows of every column.
    fn gather(&self, columns: usize) -> Result<Vec<ArrayRef>, WindowError> {
        let gathered = (0..columns).map(|column| {
            let chunks: Vec<&dyn Array> = self.arrays.iter().map(|arrays| arrays[column].as_ref()).collect();
            interleave(&chunks, &self.places)
        });
        Ok(gathered.collect::<Result<_, _>>()?)
    }
}
