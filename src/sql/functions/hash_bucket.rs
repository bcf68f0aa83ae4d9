//! `hash_bucket(x, n)`: a bucket from 0 to n - 1 for a text or a whole number, the same in every release and language.
//!
//! ```text
//!   text           its bytes in UTF-8          ┐
//!   whole number   8 bytes, two's complement,  ├─▶ xxh3-64, seed 0, as an unsigned number ─▶ mod n
//!                  least significant first     ┘
//! ```
//!
//! In Python: `xxhash.xxh3_64_intdigest(text.encode()) % n`, or of `number.to_bytes(8, "little", signed=True)`. So a number and the
//! text of its digits fall into different buckets. XXH3 is stable since version 0.8.0 of xxHash. NULL has no bucket.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use xxhash_rust::xxh3::xxh3_64;

use super::arguments;

/// See the page of this module.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct HashBucket {
    signature: Signature,
}

const CALL: &str = "hash_bucket(x, n)";

impl HashBucket {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for HashBucket {
    fn name(&self) -> &'static str {
        "hash_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [hashed, buckets] = arguments else {
            return plan_err!("{CALL} has two arguments, found {}", arguments.len());
        };
        let hashed = match hashed {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Utf8,
            whole if whole.is_integer() => DataType::Int64,
            other => {
                return plan_err!(
                    "{CALL} takes a text or a whole number, found {other}: CAST(x AS VARCHAR) makes a text"
                );
            }
        };
        Ok(vec![hashed, arguments::whole_number_type(buckets, CALL)?])
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        // Buckets that are none show when the select is planned, not at the first row.
        if let Some(buckets) = args.scalar_arguments.get(1).copied().flatten() {
            match buckets {
                ScalarValue::Int64(Some(1..)) => {}
                other => {
                    return plan_err!(
                        "the second argument of {CALL} must be a number of buckets above 0, found `{other}`"
                    );
                }
            }
        }
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), DataType::Int64, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let [hashed, buckets] = arrays.as_slice() else {
            return plan_err!("{CALL} has two arguments, found {}", arrays.len());
        };
        let found = bucket_all(hashed, buckets)?;
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?),
            false => ColumnarValue::Array(Arc::new(found)),
        })
    }
}

fn bucket_all(hashed: &ArrayRef, buckets: &ArrayRef) -> Result<Int64Array> {
    let buckets = cast(buckets, &DataType::Int64)?;
    let buckets = buckets.as_primitive::<Int64Type>();
    let hash = hashes(hashed)?;
    let rows = hash.into_iter().zip(buckets);
    rows.map(|row| match row {
        (Some(hash), Some(buckets @ 1..)) => Ok(Some((hash % buckets.cast_unsigned()).cast_signed())),
        (_, Some(buckets @ ..=0)) => exec_err!("{CALL} with {buckets} buckets: there must be one at least"),
        _ => Ok(None),
    })
    .collect()
}

/// The hash of each value; none of NULL.
fn hashes(values: &ArrayRef) -> Result<Vec<Option<u64>>> {
    if values.data_type().is_integer() {
        let values = cast(values, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>().iter();
        return Ok(values.map(|value| value.map(|value| xxh3_64(&value.to_le_bytes()))).collect());
    }
    let values = cast(values, &DataType::Utf8)?;
    Ok(values.as_string::<i32>().iter().map(|value| value.map(|value| xxh3_64(value.as_bytes()))).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{LargeStringArray, StringArray, StringViewArray, UInt32Array};

    use super::*;

    fn buckets(values: &ArrayRef, buckets: i64) -> Vec<Option<i64>> {
        let count: ArrayRef = Arc::new(Int64Array::from(vec![buckets; values.len()]));
        bucket_all(values, &count).unwrap().iter().collect()
    }

    fn array(values: impl Array + 'static) -> ArrayRef {
        Arc::new(values)
    }

    /// Made with Python 3 and xxhash 3 as the page of this module says; `docs/features.md` has some of them.
    #[test]
    fn texts_and_numbers_fall_into_the_buckets_that_python_computes() {
        let texts = ["", "a", "mobile", "user-42", "Größe", "日本語", "42"];
        let long = "x".repeat(300);
        let texts: Vec<Option<&str>> = texts.into_iter().chain([long.as_str()]).map(Some).chain([None]).collect();
        let expected = vec![
            Some(603_138),
            Some(738_719),
            Some(723_324),
            Some(692_621),
            Some(552_625),
            Some(682_423),
            Some(75_473),
            Some(769_492),
            None,
        ];
        assert_eq!(buckets(&array(StringArray::from(texts.clone())), 1_000_000), expected);
        assert_eq!(buckets(&array(StringViewArray::from(texts.clone())), 1_000_000), expected);
        assert_eq!(buckets(&array(LargeStringArray::from(texts)), 1_000_000), expected);
        let numbers = vec![Some(0), Some(42), Some(-1), Some(i64::MAX), Some(i64::MIN), None];
        let expected = vec![Some(527_897), Some(915_720), Some(748_627), Some(43_142), Some(358_495), None];
        assert_eq!(buckets(&array(Int64Array::from(numbers)), 1_000_000), expected);
        assert_eq!(buckets(&array(UInt32Array::from(vec![42])), 1_000_000), [expected[1]]);
        assert_eq!(buckets(&array(StringArray::from(vec!["a"])), i64::MAX), [Some(7_405_662_395_035_962_912)]);
    }

    #[test]
    fn every_bucket_is_used_and_a_number_of_them_that_is_none_is_refused() {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
        let mut counts = vec![0_u32; 100];
        for bucket in buckets(&ids, 100).into_iter().flatten() {
            counts[usize::try_from(bucket).unwrap()] += 1;
        }
        // Six standard deviations of 100.
        assert!(counts.iter().all(|count| (40..=160).contains(count)), "{counts:?}");
        let none: ArrayRef = Arc::new(Int64Array::from(vec![0; 10_000]));
        assert!(bucket_all(&ids, &none).unwrap_err().to_string().contains("with 0 buckets"));
    }
}
