//! The door on the bus: `<pipeline>.sql` answers one select with an Arrow IPC stream.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Limits, QueryError, run_view, table_names};
use crate::bus::{Bus, BusError, EndpointSpec, ServiceError, ServiceHandle, ServiceSpec};
use crate::engine::{EngineError, Views};
use crate::pipeline::Names;
use crate::step::StepError;

/// Statements that wait; more are answered "busy".
const QUEUE: usize = 8;

/// A door that is open until it is dropped.
pub struct SqlDoor(#[expect(dead_code, reason = "held: dropping it ends the task")] JoinSet<()>);

/// Answers queries over a running pipeline, one at a time.
///
/// # Errors
/// When the service cannot be registered.
pub async fn serve_sql(bus: &Bus, pipeline: &str, views: Views) -> Result<SqlDoor, BusError> {
    let names = Names::of(pipeline);
    let spec = ServiceSpec {
        name: names.query_service(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: format!("SELECT over the live feature tables of {pipeline}"),
        endpoints: vec![EndpointSpec { name: "sql".to_owned(), subject: names.queries() }],
    };
    let service = bus.serve(spec, QUEUE).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(answer_all(service, views));
    Ok(SqlDoor(tasks))
}

async fn answer_all(mut service: ServiceHandle, views: Views) {
    let limits = Arc::new(Limits::default());
    while let Some(request) = service.next().await {
        let reply = answer(&request.payload, &views, Arc::clone(&limits), request.most_bytes()).await;
        if let Err(error) = request.respond(reply).await {
            tracing::warn!(%error, "answer to a query not sent");
        }
    }
}

/// The answer to a statement, of at most `most_bytes`.
async fn answer(
    statement: &Bytes,
    views: &Views,
    limits: Arc<Limits>,
    most_bytes: usize,
) -> Result<Bytes, ServiceError> {
    let refuse = |error: QueryError| ServiceError { code: code_of(&error), message: error.to_string() };
    let sql = String::from_utf8(statement.to_vec())
        .map_err(|_| ServiceError { code: 400, message: "the query is not UTF-8".to_owned() })?;
    let names = table_names(&sql).map_err(refuse)?;
    let failed = |message: String| ServiceError { code: 500, message };
    let view = views.take(names).await.map_err(|error| {
        let code = if matches!(error, EngineError::BeingMade { .. }) { 503 } else { 500 };
        ServiceError { code, message: error.to_string() }
    })?;
    let answered = tokio::task::spawn_blocking(move || run_view(&sql, view, &limits)?.to_ipc(most_bytes)).await;
    let bytes = answered.map_err(|error| failed(error.to_string()))?.map_err(refuse)?;
    Ok(bytes.into())
}

/// Whether to change the statement, to ask again, or to tell somebody.
fn code_of(error: &QueryError) -> u16 {
    match error {
        QueryError::AnswerTooLarge { .. } => 413,
        QueryError::Tables(StepError::ViewEnded { .. }) => 503,
        QueryError::Tables(_) => 500,
        _ => 400,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_code_tells_whether_the_statement_is_to_blame() {
        let given_up = StepError::ViewEnded { of: "`users`".to_owned(), limit: 1 };
        let large = QueryError::AnswerTooLarge { bytes: 2, limit: 1 };
        let late = QueryError::Timeout { after: Duration::ZERO };
        let codes = [given_up.into(), StepError::Thread.into(), large, late].map(|error| code_of(&error));
        assert_eq!(codes, [503, 500, 413, 400]);
    }
}
