//! The door on the bus: `<pipeline>.sql` answers one select with an Arrow IPC stream, or with several of them.
//!
//! ```text
//!   SELECT ...              ──▶ one message, or 413       cut off at 10,000 rows, which its metadata says
//!   {"sql": "SELECT ..."}   ──▶ the first message ──▶ metadata `tidewheel.more`: "7.1"
//!   {"more": "7.1"}         ──▶ the next          ──▶ metadata `tidewheel.more`: "7.2" ... and so on to the last
//! ```
//!
//! Statements run one at a time, in the order in which they come; a part is there at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::collect::Cut;
use super::kept::Kept;
use super::run::run_view_in_parts;
use super::{Limits, QueryError, Question, run_view, table_names};
use crate::bus::{Bus, BusError, EndpointSpec, ServiceError, ServiceHandle, ServiceRequest, ServiceSpec};
use crate::clock;
use crate::engine::{EngineError, Views};
use crate::pipeline::Names;
use crate::step::{StepError, StepView};

/// Statements that wait; more are answered "busy".
const QUEUE: usize = 8;

/// A door that is open until it is dropped.
pub struct SqlDoor(#[expect(dead_code, reason = "held: dropping it ends the task")] JoinSet<()>);

/// Answers queries over a running pipeline, one at a time.
///
/// # Errors
/// When the service cannot be registered.
pub async fn serve_sql(bus: &Bus, pipeline: impl Into<Names>, views: Views) -> Result<SqlDoor, BusError> {
    let names = pipeline.into();
    let spec = ServiceSpec {
        name: names.query_service(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: format!("SELECT over the live tables of {}", names.pipeline()),
        endpoints: vec![EndpointSpec { name: "sql".to_owned(), subject: names.queries() }],
    };
    let service = bus.serve(spec, QUEUE).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(answer_all(service, Arc::new(Desk::new(views))));
    Ok(SqlDoor(tasks))
}

async fn answer_all(mut service: ServiceHandle, desk: Arc<Desk>) {
    let mut statements = JoinSet::new();
    loop {
        let late_at = desk.kept().late_at();
        let request = tokio::select! {
            request = service.next() => request,
            // Whatever it has kept is late at some time.
            Some(_) = statements.join_next() => continue,
            () = tokio::time::sleep_until(late_at.unwrap_or_else(clock::task_now)), if late_at.is_some() => {
                desk.kept().drop_late(clock::task_now());
                continue;
            }
        };
        let Some(request) = request else { return };
        match Question::parse(&request.payload) {
            Err(error) => reply(request, Err(refuse(&error))).await,
            // What is kept waits for no statement.
            Ok(question @ Question::More(_)) => {
                let part = desk.answer(question, request.most_bytes()).await;
                reply(request, part).await;
            }
            Ok(_) if statements.len() > QUEUE => reply(request, Err(ServiceError::busy())).await,
            Ok(question) => {
                let desk = Arc::clone(&desk);
                statements.spawn(async move {
                    // It is never closed; without a turn nobody would be answered.
                    let _turn = desk.turn.acquire().await;
                    let answer = desk.answer(question, request.most_bytes()).await;
                    reply(request, answer).await;
                });
            }
        }
    }
}

async fn reply(request: ServiceRequest, answer: Result<Bytes, ServiceError>) {
    if let Err(error) = request.respond(answer).await {
        tracing::warn!(%error, "answer to a query not sent");
    }
}

/// Where statements are answered.
struct Desk {
    views: Views,
    /// Whoever has it runs a statement.
    turn: Semaphore,
    kept: Mutex<Kept>,
    /// What the next answer is asked by: another one than before a restart.
    next: AtomicU64,
}

impl Desk {
    fn new(views: Views) -> Self {
        let kept = Mutex::new(Kept::new(Limits::default().answer_bytes));
        let next = AtomicU64::new(clock::unix_micros().unsigned_abs());
        Self { views, turn: Semaphore::new(1), kept, next }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What is kept is whole between any two of its operations.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a statement, or a part of one, of at most `most_bytes`.
    async fn answer(&self, question: Question, most_bytes: usize) -> Result<Bytes, ServiceError> {
        let limits = Limits::default();
        let parts = match question {
            Question::Whole(sql) => {
                let run = move |sql: &str, view| run_view(sql, view, &limits)?.to_ipc(most_bytes);
                return self.run(sql, run).await.map(Bytes::from);
            }
            Question::Parts { sql, rows } => {
                let limits = Limits { rows: rows.unwrap_or(usize::MAX), ..limits };
                let cut = Cut { id: self.next.fetch_add(1, Ordering::Relaxed), most_bytes };
                let parts = self.run(sql, move |sql, view| run_view_in_parts(sql, view, &limits, cut)).await?;
                self.kept().keep(cut, parts, clock::task_now())
            }
            Question::More(more) => self.kept().take(&more, clock::task_now()),
        };
        parts.map_err(|error| refuse(&error))
    }

    /// Runs a statement on a view of what it reads.
    async fn run<T: Send + 'static>(
        &self,
        sql: String,
        run: impl FnOnce(&str, StepView) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let names = table_names(&sql).map_err(|error| refuse(&error))?;
        let view = self.views.take(names).await.map_err(|error| {
            let code = if matches!(error, EngineError::BeingMade { .. }) { 503 } else { 500 };
            ServiceError { code, message: error.to_string() }
        })?;
        let ran = tokio::task::spawn_blocking(move || run(&sql, view)).await;
        let failed = |error: tokio::task::JoinError| ServiceError { code: 500, message: error.to_string() };
        ran.map_err(failed)?.map_err(|error| refuse(&error))
    }
}

fn refuse(error: &QueryError) -> ServiceError {
    ServiceError { code: code_of(error), message: error.to_string() }
}

/// Whether to change the statement, to ask again, or to tell somebody.
fn code_of(error: &QueryError) -> u16 {
    match error {
        QueryError::AnswerTooLarge { .. } | QueryError::RowTooLarge { .. } | QueryError::TooManyParts { .. } => 413,
        QueryError::Gone { .. } => 410,
        QueryError::Tables(StepError::ViewEnded { .. }) | QueryError::TooMuchKept { .. } => 503,
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
        let late = QueryError::Timeout { after: Duration::ZERO, is_recursive: true };
        let gone = QueryError::Gone { within: Duration::ZERO };
        let codes = [given_up.into(), StepError::Thread.into(), large, late, gone].map(|error| code_of(&error));
        assert_eq!(codes, [503, 500, 413, 400, 410]);
    }
}
