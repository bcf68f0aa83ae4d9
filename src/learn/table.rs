//! Examples as a table for other programs: a column per column of the vector under its name and in its type, and beside them
//! who was shown what, when, by which model, and the label.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::provenance::Provenance;
use super::{Asked, ExampleError, Examples};
use crate::feature::{Inputs, columns_of};
use crate::model::ModelVersion;
use crate::score::Id;

/// What is known of an example beside its vector, in the order of the columns.
const OWN: [&str; 12] = [
    "request_id",
    "user_id",
    "item_id",
    "position",
    "shown_at",
    "labelled_at",
    "label",
    "kind",
    "sampling",
    "weight",
    "model",
    "propensity",
];
/// What stands before such a name where the vector has a column of it.
const PREFIX: &str = "example_";
const UTC: &str = "UTC";

/// A table of examples.
pub(crate) struct ExampleTable {
    schema: SchemaRef,
    user: DataType,
    item: DataType,
}

impl ExampleTable {
    /// A table of examples of a vector with these columns in these types; persons and items have the types of their columns,
    /// and are texts where there is none.
    #[must_use]
    pub(crate) fn new(columns: &[String], inputs: &Inputs, user: Option<&DataType>, item: Option<&DataType>) -> Self {
        let id = |data_type: Option<&DataType>| match data_type {
            Some(DataType::Int64) => DataType::Int64,
            _ => DataType::Utf8,
        };
        let (user, item) = (id(user), id(item));
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into()));
        let types = [
            (DataType::Utf8, true),
            (user.clone(), true),
            (item.clone(), true),
            (DataType::Int32, false),
            (time.clone(), false),
            (time, false),
            (DataType::Float32, false),
            (DataType::Utf8, false),
            (DataType::Float32, false),
            (DataType::Float32, false),
            (DataType::Utf8, true),
            (DataType::Float32, true),
        ];
        let free = |name: &str| {
            let mut name = name.to_owned();
            while columns.contains(&name) {
                name.insert_str(0, PREFIX);
            }
            name
        };
        let own = OWN
            .iter()
            .zip(types)
            .map(|(name, (data_type, can_be_null))| Field::new(free(name), data_type, can_be_null));
        let of_vector = columns.iter().enumerate().map(|(column, name)| {
            let data_type = inputs.place(column).map_or(DataType::Float32, crate::feature::Place::data_type);
            Field::new(name, data_type, false)
        });
        let schema = Arc::new(Schema::new(own.chain(of_vector).collect::<Vec<_>>()));
        Self { schema, user, item }
    }

    /// Its columns.
    #[must_use]
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Examples as its rows. The weight is what an example counts in an estimate: 1 for each that was left out, and itself.
    ///
    /// # Errors
    /// [`ExampleError::Value`] for a text as the id of a person or an item whose column has integers now.
    pub(crate) fn rows(&self, examples: &Examples) -> Result<RecordBatch, ExampleError> {
        let provenances = examples.provenances();
        let asked = |of: fn(&Asked) -> Option<&str>| -> ArrayRef {
            let texts = provenances.iter().map(|provenance| of(provenance.asked.as_deref()?));
            Arc::new(texts.collect::<StringArray>())
        };
        let user = |provenance: &Provenance| provenance.asked.as_ref().and_then(|asked| asked.user.clone());
        let times = |micros: &[i64]| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone(UTC))
        };
        let floats = |values: Vec<f32>| -> ArrayRef { Arc::new(Float32Array::from(values)) };
        let places = examples.places().iter().map(|place| i32::try_from(*place).unwrap_or(i32::MAX));
        let kinds = StringArray::from_iter_values(examples.kinds().iter().map(|kind| kind.name()));
        let propensities = provenances.iter().map(|provenance| provenance.propensity).collect::<Float32Array>();
        let mut columns: Vec<ArrayRef> = vec![
            asked(|asked| asked.request.as_deref()),
            ids("user_id", &self.user, provenances.iter().map(user))?,
            ids("item_id", &self.item, provenances.iter().map(|provenance| provenance.item.clone()))?,
            Arc::new(Int32Array::from_iter_values(places)),
            times(examples.shown_micros()),
            times(examples.labelled_micros()),
            floats(examples.labels().to_vec()),
            Arc::new(kinds),
            floats(examples.sampling().to_vec()),
            floats(examples.sampling().iter().map(|share| 1.0 / share).collect()),
            asked(|asked| asked.model.as_ref().map(ModelVersion::as_str)),
            Arc::new(propensities),
        ];
        let (vectors, width) = (examples.vectors(), examples.width());
        match examples.inputs().typed() {
            Some(typed) => columns.extend(columns_of(typed, vectors, width)),
            None => columns
                .extend((0..width).map(|column| floats(vectors.iter().skip(column).step_by(width).copied().collect()))),
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| ExampleError::Write { reason: error.to_string() })
    }
}

fn ids(
    column: &'static str,
    data_type: &DataType,
    ids: impl Iterator<Item = Option<Id>>,
) -> Result<ArrayRef, ExampleError> {
    if *data_type == DataType::Int64 {
        let whole = |(row, id): (usize, Option<Id>)| match id {
            None => Ok(None),
            Some(Id::Whole(number)) => Ok(Some(number)),
            Some(Id::Text(text)) => text.parse().map(Some).map_err(|_| ExampleError::Value {
                column,
                row,
                value: format!("{text:?}"),
                rule: "an integer, as the contract says now: leave such examples out with --since",
            }),
        };
        let ids: Result<Int64Array, ExampleError> = ids.enumerate().map(whole).collect();
        return Ok(Arc::new(ids?));
    }
    let text = |id: Option<Id>| match id? {
        Id::Whole(number) => Some(number.to_string()),
        Id::Text(text) => Some(text.into_string()),
    };
    Ok(Arc::new(ids.map(text).collect::<StringArray>()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float32Type, Int64Type};

    use super::*;
    use crate::feature::Kind;
    use crate::learn::{Example, ExampleKind};

    fn of(user: &str, item: Id) -> Provenance {
        let asked = Asked::new("r", Some(user), ModelVersion::parse("00000000000a").as_ref());
        Provenance { asked: Some(Arc::new(asked)), item: Some(item), propensity: Some(0.5) }
    }

    fn examples(inputs: &Inputs, provenances: &[Provenance]) -> Examples {
        let mut examples = Examples::new(inputs);
        for (row, provenance) in provenances.iter().enumerate() {
            let vector = vec![row as f32; inputs.width()];
            let example = Example {
                vector: &vector,
                kind: ExampleKind::Negative,
                sampling: 0.1,
                shown_micros: 1_700_000_000_000_000,
                labelled_micros: 1_700_000_001_000_000,
                place: 3,
                provenance,
            };
            examples.push(example).unwrap();
        }
        examples
    }

    #[test]
    fn each_column_of_the_vector_is_one_under_its_name_and_what_else_is_known_makes_way_for_it() {
        let columns = ["label", "example_label", "b"].map(str::to_owned);
        let table = ExampleTable::new(&columns, &3.into(), Some(&DataType::Int64), None);
        let rows = table.rows(&examples(&3.into(), &[of("7", Id::Whole(1)), Provenance::default()])).unwrap();
        let types: Vec<String> = rows
            .schema_ref()
            .fields()
            .iter()
            .map(|field| {
                format!("{} {}{}", field.name(), field.data_type(), if field.is_nullable() { "?" } else { "" })
            })
            .collect();
        insta::assert_snapshot!(types.join("\n"), @r#"
        request_id Utf8?
        user_id Int64?
        item_id Utf8?
        position Int32
        shown_at Timestamp(µs, "UTC")
        labelled_at Timestamp(µs, "UTC")
        example_example_label Float32
        kind Utf8
        sampling Float32
        weight Float32
        model Utf8?
        propensity Float32?
        label Float32
        example_label Float32
        b Float32
        "#);
        assert_eq!(rows.column(1).as_primitive::<Int64Type>().value(0), 7);
        assert_eq!((rows.column(2).as_string::<i32>().value(0), rows.column(2).is_null(1)), ("1", true));
        assert_eq!(rows.column(9).as_primitive::<Float32Type>().values(), &[10.0; 2]);
        assert_eq!(rows.column(13).as_primitive::<Float32Type>().values(), &[0.0, 1.0]);
    }

    #[test]
    fn columns_keep_their_types() {
        let columns = [("user", Kind::Int64, None), ("recent", Kind::Int64, Some(2)), ("device", Kind::Text, None)];
        let inputs = Inputs::of(columns.map(|(name, kind, most)| (name.to_owned(), kind, most)));
        let names = columns.map(|(name, ..)| name.to_owned());
        let table = ExampleTable::new(&names, &inputs, None, None);
        let rows = table.rows(&examples(&inputs, &[Provenance::default()])).unwrap();
        let types = rows.schema_ref().fields().iter().skip(OWN.len()).map(|field| field.data_type().to_string());
        assert_eq!(types.collect::<Vec<_>>(), ["Int64", "List(non-null Int64)", "Utf8"]);
    }

    #[test]
    fn a_text_is_no_integer() {
        let table = ExampleTable::new(&["a".to_owned()], &1.into(), None, Some(&DataType::Int64));
        let good = table.rows(&examples(&1.into(), &[of("7", Id::Text("12".into()))])).unwrap();
        assert_eq!(good.column(2).as_primitive::<Int64Type>().value(0), 12);
        let error = table.rows(&examples(&1.into(), &[of("7", Id::Text("tea".into()))])).unwrap_err();
        insta::assert_snapshot!(
            error,
            @r#"column "item_id" of the examples is "tea" in row 0, it must be an integer, as the contract says now: leave such examples out with --since"#
        );
    }
}
