//! A second server that follows a first.

use crate::cluster::Cluster;
use crate::{Server, ServerError, ServerOptions};

impl Server {
    /// Starts a server that follows `primary`, one of ours, and answers reads. It is asynchronous until
    /// [`make_standbys_synchronous`](Self::make_standbys_synchronous) is called on the primary.
    ///
    /// # Errors
    /// [`ServerError::NotOurs`] for a primary that was not started here, and others if the standby does not start.
    pub fn start_standby_of(primary: &Self, options: &ServerOptions) -> Result<Self, ServerError> {
        let followed = primary.cluster("follow")?;
        let standby = Cluster::prepare(options)?;
        standby.copy(followed, options)?;
        standby.start()?;
        Ok(Self::ours(standby))
    }

    /// From now on a commit on this server is answered when a standby has it on disk too; returns when one is there
    /// that does. A standby that goes away stops every commit until it is back.
    ///
    /// # Errors
    /// [`ServerError::NotOurs`], or [`ServerError::Sql`] with what the server said. Without a standby it does not return.
    #[cfg(feature = "databases")]
    pub async fn make_standbys_synchronous(&self) -> Result<(), ServerError> {
        self.cluster("change")?;
        self.admin("asking for synchronous commits", "ALTER SYSTEM SET synchronous_standby_names = '*'".into()).await?;
        self.admin("reloading the settings", "SELECT pg_reload_conf()".into()).await?;
        let is_there = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')";
        while !self.ask(is_there).await? {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        Ok(())
    }
}
