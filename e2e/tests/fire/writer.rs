//! Sessions that write random transactions side by side, whatever becomes of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use afterbay_e2e::random::Random;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

use crate::transactions::{Manner, Step, transaction};

const SESSIONS: [Manner; 5] = [Manner::Short, Manner::Short, Manner::Long, Manner::Long, Manner::Large];

/// Sessions that write until they are told to stop.
pub struct Writer {
    stop: Arc<AtomicBool>,
    sessions: Vec<JoinHandle<u64>>,
}

impl Writer {
    /// Starts them.
    pub fn start(database: &Config, random: &mut Random) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let session = |manner| tokio::spawn(write(database.clone(), random.fork(), manner, Arc::clone(&stop)));
        let sessions = SESSIONS.map(session).into();
        Self { stop, sessions }
    }

    /// Returns when the last transaction of each has ended; how many were committed in all.
    pub async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut committed = 0;
        for session in self.sessions {
            committed += session.await.expect("a session does not panic");
        }
        committed
    }
}

async fn write(database: Config, mut random: Random, manner: Manner, stop: Arc<AtomicBool>) -> u64 {
    let mut committed = 0;
    let mut client = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(connected) = client.take_if(|client: &mut Client| !client.is_closed()) else {
            client = connect(&database).await;
            continue;
        };
        let transaction = transaction(&mut random, manner);
        if run(&connected, &transaction).await {
            committed += 1;
        }
        // Readers shall keep up with the writers, also in a debug build.
        tokio::time::sleep(match manner {
            Manner::Large => random.millis(500, 2_500),
            _ => random.millis(5, 60),
        })
        .await;
        client = Some(connected);
    }
    committed
}

/// Whether it was committed, as far as this session knows.
async fn run(client: &Client, steps: &[Step]) -> bool {
    for step in steps {
        match step {
            Step::Wait(time) => tokio::time::sleep(*time).await,
            Step::Run(statements) => {
                if client.batch_execute(statements).await.is_err() {
                    // Two in each other's way, a key that is there already, or a server that is gone.
                    let _ = client.batch_execute("ROLLBACK").await;
                    return false;
                }
            }
        }
    }
    steps.last() == Some(&Step::Run("COMMIT".into()))
}

async fn connect(database: &Config) -> Option<Client> {
    let Ok((client, connection)) = database.connect(NoTls).await else {
        tokio::time::sleep(Duration::from_millis(100)).await;
        return None;
    };
    tokio::spawn(connection);
    Some(client)
}
