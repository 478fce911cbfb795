//! SQL sessions, for the catalogue and for administration.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use afterbay_crds::plan::PostgresConnectionPlan;
use secrecy::ExposeSecret;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

use super::error::PostgresError;
use super::session::{self, APPLICATION_NAME, Enter, Entrance, Place, Purpose};

/// A session for short statements: each may take up to 60 s. Ends when it is dropped.
#[derive(Debug)]
pub struct SqlClient {
    client: tokio_postgres::Client,
    place: Arc<Place>,
    /// Statements that are not answered.
    unanswered: AtomicUsize,
}

/// Connects to the first of the servers that is a primary.
pub async fn connect(plan: &PostgresConnectionPlan) -> Result<SqlClient, PostgresError> {
    session::first_primary(plan).await
}

impl Enter for SqlClient {
    async fn enter(plan: &PostgresConnectionPlan, entrance: Entrance) -> Result<(Self, bool), PostgresError> {
        let client = enter(plan, entrance).await?;
        let in_recovery: bool = client.query_one("SELECT pg_catalog.pg_is_in_recovery()", &[]).await?.get(0);
        Ok((client, !in_recovery))
    }
}

async fn enter(plan: &PostgresConnectionPlan, entrance: Entrance) -> Result<SqlClient, PostgresError> {
    let Entrance { stream, password, place } = entrance;
    let mut config = tokio_postgres::Config::new();
    config
        .user(&plan.username)
        .dbname(&plan.database)
        .application_name(APPLICATION_NAME)
        .options(session::options(Purpose::Statements))
        // The stream is encrypted already, where it is to be.
        .ssl_mode(SslMode::Disable);
    if let Some(password) = &password {
        config.password(password.expose_secret());
    }
    let connected = config.connect_raw(stream, NoTls).await;
    let (client, connection) = connected.map_err(|error| PostgresError::client(&error, &place))?;
    let server = Arc::clone(&place);
    tokio::spawn(async move {
        // Whoever waits for an answer learns of it too; here it is only for the log.
        if let Err(error) = connection.await {
            let error = PostgresError::client(&error, &server);
            tracing::debug!(%error, "an SQL session ended");
        }
    });
    Ok(SqlClient { client, place, unanswered: AtomicUsize::new(0) })
}

impl SqlClient {
    /// The server that it is connected to.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Whether the session is over, or is of no more use: whoever asks next would wait for the answer that somebody else
    /// has given up.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed() || self.unanswered.load(Ordering::Relaxed) > 0
    }

    /// The rows of a statement.
    pub async fn query(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PostgresError> {
        self.answer(self.client.query(sql, parameters)).await
    }

    /// The row of a statement that has one at the most.
    pub async fn query_opt(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, PostgresError> {
        self.answer(self.client.query_opt(sql, parameters)).await
    }

    /// The row of a statement that has exactly one.
    pub async fn query_one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Row, PostgresError> {
        self.answer(self.client.query_one(sql, parameters)).await
    }

    /// Runs statements without parameters; several are one transaction.
    pub async fn execute(&self, sql: &str) -> Result<(), PostgresError> {
        self.answer(self.client.batch_execute(sql)).await
    }

    async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PostgresError> {
        let answer = async {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            let answer = answer.await;
            self.unanswered.fetch_sub(1, Ordering::Relaxed);
            answer.map_err(|error| self.error(&error))
        };
        session::answer(&self.place, answer).await
    }

    pub(super) fn error(&self, error: &tokio_postgres::Error) -> PostgresError {
        PostgresError::client(error, &self.place)
    }
}
