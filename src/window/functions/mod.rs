//! The functions that Tidewheel adds to DataFusion's own, and the one place where they are registered.
//!
//! An aggregate that DataFusion accepts works in every table as soon as it stands in [`register`].

mod last_n;

use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::AggregateUDF;

use self::last_n::LastN;
pub(super) use self::last_n::MOST_VALUES;

/// Makes the functions known.
pub(super) fn register(context: &SessionContext) {
    context.register_udaf(AggregateUDF::from(LastN::new()));
}
