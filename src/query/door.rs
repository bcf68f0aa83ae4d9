//! The door on the bus: `<pipeline>.sql` answers one select with an Arrow IPC stream.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{Limits, QueryError, run, table_names};
use crate::bus::{Bus, BusError, EndpointSpec, ServiceError, ServiceHandle, ServiceSpec};
use crate::engine::{EngineError, Snapshots};
use crate::pipeline::Names;

/// Statements that wait; more are answered "busy".
const QUEUE: usize = 8;

/// A door that is open until it is dropped.
pub struct SqlDoor(#[expect(dead_code, reason = "held: dropping it ends the task")] JoinSet<()>);

/// Answers queries over a running pipeline, one at a time.
///
/// # Errors
/// When the service cannot be registered.
pub async fn serve_sql(bus: &Bus, pipeline: &str, snapshots: Snapshots) -> Result<SqlDoor, BusError> {
    let names = Names::of(pipeline);
    let spec = ServiceSpec {
        name: names.query_service(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: format!("SELECT over the live feature tables of {pipeline}"),
        endpoints: vec![EndpointSpec { name: "sql".to_owned(), subject: names.queries() }],
    };
    let service = bus.serve(spec, QUEUE).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(answer_all(service, snapshots));
    Ok(SqlDoor(tasks))
}

async fn answer_all(mut service: ServiceHandle, snapshots: Snapshots) {
    let limits = Arc::new(Limits::default());
    while let Some(request) = service.next().await {
        let reply = answer(&request.payload, &snapshots, Arc::clone(&limits), request.most_bytes()).await;
        if let Err(error) = request.respond(reply).await {
            tracing::warn!(%error, "answer to a query not sent");
        }
    }
}

/// The answer to a statement, of at most `most_bytes`.
async fn answer(
    statement: &Bytes,
    snapshots: &Snapshots,
    limits: Arc<Limits>,
    most_bytes: usize,
) -> Result<Bytes, ServiceError> {
    let refuse = |error: QueryError| {
        let code = if matches!(error, QueryError::AnswerTooLarge { .. }) { 413 } else { 400 };
        ServiceError { code, message: error.to_string() }
    };
    let sql = String::from_utf8(statement.to_vec())
        .map_err(|_| ServiceError { code: 400, message: "the query is not UTF-8".to_owned() })?;
    let names = table_names(&sql).map_err(refuse)?;
    let failed = |message: String| ServiceError { code: 500, message };
    let tables = snapshots.take(names).await.map_err(|error| {
        let code = if matches!(error, EngineError::BeingMade { .. }) { 503 } else { 500 };
        ServiceError { code, message: error.to_string() }
    })?;
    let answered = tokio::task::spawn_blocking(move || run(&sql, tables, &limits)?.to_ipc(most_bytes)).await;
    let bytes = answered.map_err(|error| failed(error.to_string()))?.map_err(refuse)?;
    Ok(bytes.into())
}
