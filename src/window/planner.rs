//! A planner that understands windows.

use datafusion::logical_expr::ScalarUDF;

use super::asof::Within;
use super::closed::WindowBound;
use crate::sql::Planner;

/// A planner of features: it knows the functions that stand for horizons and for the bounds of windows.
pub fn planner() -> Planner {
    Planner::new([Within::new().into(), WindowBound::start().into(), WindowBound::end().into()] as [ScalarUDF; 3])
}
