//! A table's SQL → the form that it has: read as of a moment, or windows that close.

use super::asof::{FeaturePlan, Horizon, check_horizons};
use super::closed::{WindowPlan, WindowSettings, take_window};
use crate::sql::{PlanError, Planner};

/// A checked table of either form.
pub enum TableForm {
    /// Several horizons, read at any moment.
    AsOf(FeaturePlan),
    /// A window in GROUP BY, emitted as it closes.
    Windows(WindowPlan),
}

impl TableForm {
    /// Plans the table `name`.
    ///
    /// `time` is the event-time column of its streams; `retention` is the horizon of aggregates of an as-of table that name
    /// none, `settings` is what the pipeline says about windows.
    ///
    /// # Errors
    /// When the SQL is not valid, or is valid but has another form.
    pub fn plan(
        planner: &Planner,
        name: &str,
        sql: &str,
        time: &str,
        retention: Horizon,
        settings: WindowSettings,
    ) -> Result<Self, PlanError> {
        let mut statement = planner.parse(sql)?;
        let window = match &mut statement {
            datafusion::sql::parser::Statement::Statement(statement) => {
                check_horizons(statement, time)?;
                take_window(statement)?
            }
            _ => None,
        };
        Ok(match window {
            Some(window) => {
                let plan = planner.plan_statement(statement)?;
                Self::Windows(WindowPlan::new(planner, name, (&plan, sql), &window, time, settings)?)
            }
            None => Self::AsOf(FeaturePlan::new(planner, name, sql, time, retention)?),
        })
    }
}
