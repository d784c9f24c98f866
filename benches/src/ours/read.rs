//! Reading the log, replaying it, and looking at documents as they were.

use std::hint::black_box;

use factum::{At, Cursor, LogId, Position, Query, ReadLog, Subscription};
use factum_projections::{Projection, Projector, ReadModel, ReplayOptions};
use futures_util::StreamExt;

use crate::Result;
use crate::bank::AccountEvent;
use crate::place::{Place, Store};
use crate::projections::Balances;
use crate::window::{Caller, together};
use crate::work::Size;

/// What a handler does with an event: next to nothing, so that what is measured is how it comes.
fn handle(event: &AccountEvent) -> i64 {
    match event {
        AccountEvent::Opened { .. } => 0,
        AccountEvent::Deposited { cents, .. } => *cents,
        AccountEvent::Withdrawn { cents, .. } => -cents,
    }
}

/// Every event in order, decoded, a page of the default size after the other: how many a second.
pub(crate) async fn read_all(place: &Place, expected: usize, size: Size) -> Result<f64> {
    let store = match place {
        Place::Memory => in_memory(expected).await?,
        _ => place.open().await?,
    };
    passes(Reader { store, way: Way::Pages, expected }, size).await
}

async fn in_memory(events: usize) -> Result<Store> {
    let store = Place::Memory.open().await?;
    crate::prepare::log(&store, events, 1_000).await?;
    Ok(store)
}

/// The same through a subscription.
pub(super) async fn subscribe(store: Store, expected: usize, size: Size) -> Result<f64> {
    passes(Reader { store, way: Way::Subscription, expected }, size).await
}

/// A read model built anew while the old one serves.
pub(super) async fn replay(store: Store, expected: usize, size: Size) -> Result<f64> {
    passes(Reader { store, way: Way::Replay, expected }, size).await
}

async fn passes(reader: Reader, size: Size) -> Result<f64> {
    let events = reader.expected as u64;
    let passes = together(vec![reader], size.passes(), async { Ok(()) }).await?;
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 events")]
    Ok(passes * events as f64)
}

/// Goes through the whole log, once in each call.
struct Reader {
    store: Store,
    way: Way,
    expected: usize,
}

#[derive(Clone, Copy)]
enum Way {
    Pages,
    Subscription,
    Replay,
}

impl Caller for Reader {
    async fn call(&mut self) -> Result<()> {
        let events = match self.way {
            Way::Pages => self.pages().await?,
            Way::Subscription => self.subscription().await?,
            Way::Replay => self.replay().await?,
        };
        if events == self.expected {
            return Ok(());
        }
        Err(format!("{events} events came instead of {}", self.expected).into())
    }
}

impl Reader {
    async fn pages(&self) -> Result<usize> {
        let (mut events, mut cents, mut after) = (0, 0, Position::START);
        loop {
            let page = self.store.events.read_log(ReadLog::after(LogId::FIRST, after)).await?;
            for event in &page.events {
                cents += handle(&black_box(factum::decode::<AccountEvent>(event)?));
            }
            events += page.events.len();
            match page.reached.filter(|_| !page.end) {
                Some(reached) => after = reached.position,
                None => break,
            }
        }
        black_box(cents);
        Ok(events)
    }

    async fn subscription(&self) -> Result<usize> {
        let following = Subscription::new(self.store.events.clone(), Cursor::start(), Query::all());
        let mut following = following.typed::<AccountEvent>().take(self.expected);
        let (mut events, mut cents) = (0, 0);
        while let Some(event) = following.next().await {
            cents += handle(&black_box(event?.data));
            events += 1;
        }
        black_box(cents);
        Ok(events)
    }

    async fn replay(&self) -> Result<usize> {
        let projector = Projector::new(self.store.events.clone(), self.store.read_models.clone()).with(Balances);
        let report =
            projector.replay(Balances::NAME, ReplayOptions::new().keep_old(std::time::Duration::ZERO), |_| {}).await?;
        Ok(usize::try_from(report.events)?)
    }
}

struct Traveller {
    balances: ReadModel<Balances>,
    events: u64,
    accounts: usize,
    random: fastrand::Rng,
}

impl Caller for Traveller {
    async fn call(&mut self) -> Result<()> {
        let at = At::from(Position::new(self.random.u64(1..=self.events)));
        let account = self.random.usize(..self.accounts).to_string();
        black_box(self.balances.get_at(&account, at).await?.document);
        Ok(())
    }
}

/// Documents as they were at positions all over the log.
pub(super) async fn get_at(store: &Store, place: &Place, size: Size) -> Result<f64> {
    let projector = Projector::new(store.events.clone(), store.read_models.clone()).with(Balances);
    let traveller = Traveller {
        balances: projector.read_model::<Balances>(),
        events: size.log() as u64,
        accounts: size.streams(),
        random: fastrand::Rng::with_seed(2378),
    };
    together(vec![traveller], size.window(place.kind(), 100), async { Ok(()) }).await
}
