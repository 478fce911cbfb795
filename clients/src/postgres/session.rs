//! How every session begins: the settings that it has, and the choice of the server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use afterbay_crds::plan::{HostPort, PostgresConnectionPlan};
use secrecy::SecretSlice;

use super::error::{PostgresError, PostgresErrorKind};
use super::wire::stream::Stream;
use crate::{secret, tls};

/// What the sessions call themselves in `pg_stat_activity`.
pub const APPLICATION_NAME: &str = "afterbay";

/// How long one server may take to let us in.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a short statement may take, from here: longer than the server lets it. One that stands still keeps its
/// connections open, and tells nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);
/// The settings of every session. They fix the text form of values, and so the messages: nothing that an administrator
/// sets for the server, the database or the role may change it. `row_security=off` makes a policy an error instead of
/// a silent filter.
const OPTIONS: &str = "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c bytea_output=hex \
    -c extra_float_digits=3 -c lc_monetary=C -c search_path=pg_catalog -c row_security=off \
    -c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Short statements: one that takes a minute hangs.
    Statements,
    /// A stream or a copy, which may take for ever.
    Replication,
}

/// The answer to a short statement, or that there is none.
pub(super) async fn answer<T>(
    place: &Arc<Place>,
    answer: impl Future<Output = Result<T, PostgresError>>,
) -> Result<T, PostgresError> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| {
        let words = format!("no answer to a statement within {} s", ANSWER_TIMEOUT.as_secs());
        Err(PostgresError::new(PostgresErrorKind::Unreachable, words, place))
    })
}

/// The startup parameter `options`.
pub(super) fn options(purpose: Purpose) -> String {
    let timeouts = match purpose {
        Purpose::Statements => "-c statement_timeout=60s -c idle_in_transaction_session_timeout=0",
        Purpose::Replication => "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0",
    };
    format!("{OPTIONS} {timeouts}")
}

/// Where a session is or was to be, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The server (or all that were tried), `host:port`.
    pub servers: String,
    /// The database.
    pub database: String,
    /// The role.
    pub role: String,
}

impl Place {
    /// All servers of a plan.
    pub fn of(plan: &PostgresConnectionPlan) -> Self {
        let servers: Vec<String> = plan.hosts.iter().map(server).collect();
        Self { servers: servers.join(", "), database: plan.database.clone(), role: plan.username.clone() }
    }

    pub(super) fn at(plan: &PostgresConnectionPlan, host: &HostPort) -> Self {
        Self { servers: server(host), ..Self::of(plan) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database \"{}\" at {} as role \"{}\"", self.database, self.servers, self.role)
    }
}

fn server(host: &HostPort) -> String {
    if host.host.contains(':') {
        format!("[{}]:{}", host.host, host.port)
    } else {
        format!("{}:{}", host.host, host.port)
    }
}

/// A socket at a server's door, and what opens it.
pub(super) struct Entrance {
    pub(super) stream: Stream,
    pub(super) password: Option<SecretSlice<u8>>,
    pub(super) place: Arc<Place>,
}

/// A kind of connection. (An async closure would do for [`first_primary`], but its future is not known to be `Send`.)
pub(super) trait Enter: Sized + Send {
    /// Logs in on the socket, and tells whether the server is a primary.
    fn enter(
        plan: &PostgresConnectionPlan,
        entrance: Entrance,
    ) -> impl Future<Output = Result<(Self, bool), PostgresError>> + Send;
}

/// Enters the servers one after the other, until one says that it is a primary.
///
/// The password is read anew each time: a rotated one is in the file. Of several failures the one is told that says
/// most: that of a server which answered, rather than that of one which did not.
pub(super) async fn first_primary<S: Enter>(plan: &PostgresConnectionPlan) -> Result<S, PostgresError> {
    let all = Arc::new(Place::of(plan));
    let tls = tls::postgres(&plan.tls).map_err(|error| PostgresError::tls_files(&error, &all))?;
    let mut told = PostgresError::new(PostgresErrorKind::Unreachable, "no server is named", &all);
    for host in &plan.hosts {
        let place = Arc::new(Place::at(plan, host));
        let password = match &plan.password_file {
            Some(file) => Some(secret::read(file).map_err(|error| PostgresError::secret(&error, &place))?),
            None => None,
        };
        let entering = async {
            let stream = Stream::connect(host, tls.as_ref(), &place).await?;
            S::enter(plan, Entrance { stream, password, place: Arc::clone(&place) }).await
        };
        let error = match tokio::time::timeout(CONNECT_TIMEOUT, entering).await {
            Ok(Ok((session, true))) => return Ok(session),
            Ok(Ok((_, false))) => {
                PostgresError::new(PostgresErrorKind::NotPrimary, format!("{} is a standby", place.servers), &all)
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let words = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
                PostgresError::new(PostgresErrorKind::Unreachable, words, &place)
            }
        };
        if weight(error.kind) >= weight(told.kind) {
            told = error;
        }
    }
    Err(told)
}

/// How much a failure to enter says.
fn weight(kind: PostgresErrorKind) -> u8 {
    use PostgresErrorKind as Kind;
    match kind {
        Kind::Unreachable | Kind::UnknownHost | Kind::ConnectionLost => 0,
        Kind::Unavailable => 1,
        Kind::NotPrimary => 2,
        _ => 3,
    }
}
