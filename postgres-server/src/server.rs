//! The server that tests share, and servers of one's own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::{Cluster, SUPERUSER};
use crate::url::ServerUrl;
use crate::{ServerError, ServerOptions, skip};

/// The one of this process.
static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

#[derive(Debug)]
struct Shared {
    server: Server,
    #[cfg(feature = "databases")]
    _guest: Option<crate::guest::Guest>,
}

/// A Postgres server: the one of the environment, or one that was started here and ends with the last handle to it,
/// or with the process, however that ends. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    place: Place,
    #[cfg(feature = "databases")]
    pub(crate) databases: crate::database::Names,
}

#[derive(Debug)]
enum Place {
    Ours(Cluster),
    Theirs(ServerUrl),
}

impl Server {
    /// The server for a test: the shared one; `None`, which is said on standard error even where the output of tests
    /// is captured, where Postgres is not installed and `FACTUM_TEST_POSTGRES` is not `required`.
    ///
    /// ```
    /// use factum_postgres_server::Server;
    ///
    /// // The first line of every test that needs Postgres.
    /// let Some(server) = Server::for_test() else { return };
    /// assert!(server.url("postgres").starts_with("postgres"));
    /// ```
    ///
    /// # Panics
    /// If there is no server and that is not to be forgiven: it is required, the one of the environment is named
    /// wrongly, or one does not start. A test that then passed would have proved nothing.
    #[must_use]
    #[track_caller]
    pub fn for_test() -> Option<Self> {
        skip::unless_missing(Self::shared(), skip::is_demanded())
    }

    /// A new server for a test that stops it, restarts it or needs settings of its own; `None`, which is said, where
    /// Postgres is not installed. It is not demanded of whoever names a server in the environment.
    ///
    /// # Panics
    /// If there is none though it is required, or one does not start.
    #[must_use]
    #[track_caller]
    pub fn own_for_test(options: &ServerOptions) -> Option<Self> {
        skip::unless_missing(Self::start(options), skip::is_demanded_of_our_own())
    }

    /// The server that everything in this process shares: the one that `FACTUM_TEST_POSTGRES_URL` names, or one that
    /// is started now, [careless](ServerOptions::careless) and on its own socket, if nobody asked before.
    ///
    /// # Errors
    /// [`ServerError::NotInstalled`] where there is none to start, [`ServerError::Url`] for a variable that is no URL,
    /// and others for one that does not start.
    pub fn shared() -> Result<Self, ServerError> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = &*shared {
            return Ok(shared.server.clone());
        }
        let server = match ServerUrl::from_environment()? {
            Some(url) => Self::at(Place::Theirs(url)),
            None => Self::start(&ServerOptions::careless())?,
        };
        *shared = Some(Shared {
            #[cfg(feature = "databases")]
            _guest: if server.is_ours() { None } else { Some(crate::guest::Guest::arrive(&server)?) },
            server: server.clone(),
        });
        Ok(server)
    }

    /// Starts a server that nobody else uses, whatever the environment names.
    ///
    /// # Errors
    /// [`ServerError::NotInstalled`] where there is none to start, and others for one that does not start.
    pub fn start(options: &ServerOptions) -> Result<Self, ServerError> {
        let cluster = Cluster::prepare(options)?;
        cluster.initialise(options)?;
        cluster.start()?;
        Ok(Self::ours(cluster))
    }

    pub(crate) fn ours(cluster: Cluster) -> Self {
        Self::at(Place::Ours(cluster))
    }

    fn at(place: Place) -> Self {
        let inner = Inner {
            place,
            #[cfg(feature = "databases")]
            databases: crate::database::Names::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// How to reach a database of it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        match &self.inner.place {
            Place::Ours(cluster) => cluster.url(database),
            Place::Theirs(url) => url.with_database(database),
        }
    }

    /// How to reach the database that is there from the start, to make others from.
    #[must_use]
    pub fn admin_url(&self) -> String {
        match &self.inner.place {
            Place::Ours(cluster) => cluster.url(SUPERUSER),
            Place::Theirs(url) => url.as_str().to_owned(),
        }
    }

    /// Whether it was started here, and so may be stopped.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self.inner.place, Place::Ours(_))
    }

    /// Where the data of a server of ours lie.
    #[must_use]
    pub fn data_folder(&self) -> Option<&Path> {
        self.cluster("look into").ok().map(Cluster::data)
    }

    /// Where the socket of a server of ours is.
    #[must_use]
    pub fn socket_folder(&self) -> Option<&Path> {
        self.cluster("look into").ok().map(Cluster::home)
    }

    /// Stops it as an administrator does: connections are cut, what was answered is on disk.
    ///
    /// # Errors
    /// [`ServerError::NotOurs`], or [`ServerError::Failed`] if it does not run.
    pub fn stop(&self) -> Result<(), ServerError> {
        self.cluster("stop")?.stop("fast")
    }

    /// Stops it as a crash does: nothing is finished, nothing is written, the next start recovers.
    ///
    /// # Errors
    /// [`ServerError::NotOurs`], or [`ServerError::Failed`] if it does not run.
    pub fn stop_immediate(&self) -> Result<(), ServerError> {
        self.cluster("stop")?.stop("immediate")
    }

    /// Starts it again after a stop, with the same data under the same URL.
    ///
    /// # Errors
    /// [`ServerError::NotOurs`], or [`ServerError::Failed`] if it runs already.
    pub fn start_again(&self) -> Result<(), ServerError> {
        self.cluster("start")?.start()
    }

    pub(crate) fn cluster(&self, what: &'static str) -> Result<&Cluster, ServerError> {
        match &self.inner.place {
            Place::Ours(cluster) => Ok(cluster),
            Place::Theirs(_) => Err(ServerError::NotOurs { what }),
        }
    }
}
