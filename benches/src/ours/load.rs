//! Loading aggregates.

use factum::Repository;

use crate::Result;
use crate::bank::Account;
use crate::place::{Place, Store};
use crate::prepare::SNAPSHOT_EVERY;
use crate::window::{Caller, milliseconds, together};
use crate::work::Size;

struct Loader {
    accounts: Repository<Account>,
    of: usize,
    loaded: usize,
}

impl Caller for Loader {
    async fn call(&mut self) -> Result<()> {
        let id = (self.loaded % self.of).to_string();
        let loaded = self.accounts.load(&id).await?;
        self.loaded += 1;
        match loaded.version {
            Some(_) => Ok(()),
            None => Err(format!("account {id} was not prepared").into()),
        }
    }
}

/// How many milliseconds one takes, each loaded anew, one after the other.
pub(super) async fn load(store: &Store, snapshot: bool, place: &Place, size: Size) -> Result<f64> {
    let accounts = Repository::new(store.events.clone());
    let accounts = if snapshot { accounts.snapshots(SNAPSHOT_EVERY, 1) } else { accounts };
    let loader = Loader { accounts, of: size.aggregates(), loaded: 0 };
    Ok(milliseconds(together(vec![loader], size.window(place.kind(), 2), async { Ok(()) }).await?))
}
