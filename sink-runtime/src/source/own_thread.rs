//! A thread of its own for what reads a replication stream.
//!
//! The server sends each message by itself, so it is worth while to sleep until there are many. In the runtime that all
//! share that is of no use: one of its threads always waits for all sockets, and is woken for each message. Here nothing
//! waits while the reader sleeps.

use tokio::sync::oneshot;

/// Runs a task on a new thread, which it may block; gives a receiver of its result, which ends without one where the task
/// has panicked, or could not be run. What the task spawns runs on the same thread, and not behind its end.
pub fn spawn<T>(name: &str, task: T) -> std::io::Result<oneshot::Receiver<T::Output>>
where
    T: Future<Output: Send> + Send + 'static,
{
    let (tell, done) = oneshot::channel();
    // The runtime is made where it ends: it must not in a task of another one.
    let run = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        // Nobody needs to wait for it.
        Ok(runtime) => drop(tell.send(runtime.block_on(task))),
        Err(error) => tracing::error!("no runtime for a thread of its own: {error}"),
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_the_result_or_that_there_is_none() {
        let name = async { std::thread::current().name().map(str::to_owned) };
        assert_eq!(spawn("reader", name).unwrap().await, Ok(Some("reader".to_owned())));
        let panics: oneshot::Receiver<()> = spawn("reader", async { panic!("as it is to") }).unwrap();
        assert!(panics.await.is_err());
    }
}
