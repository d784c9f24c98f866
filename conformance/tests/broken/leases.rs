//! Leases, broken.

use factum::{
    GenerationState, Lease, LeaseError, LeaseHolder, NewGeneration, ReadModelError, ReadModelStore, TakeLease,
};

use crate::how::How;
use crate::store::Broken;

impl Broken {
    pub(crate) async fn listed_leases(&self) -> Result<Vec<Lease>, ReadModelError> {
        let mut all = self.inner.leases().await?;
        if self.how == How::ListsLeasesBackward {
            all.reverse();
        }
        Ok(all)
    }

    async fn lease_now(&self, of: &factum::LeaseName) -> Option<Lease> {
        self.inner.leases().await.unwrap().into_iter().find(|lease| lease.name == *of)
    }

    pub(crate) async fn take_broken(&self, take: &TakeLease) -> Result<Lease, LeaseError> {
        let mut take = take.clone();
        match (self.how, &mut take.raise) {
            (How::TakesWhatIsHeld, _) => take.seen = self.lease_now(&take.name).await,
            (How::TakesWhatMoved, _) if take.seen.is_some() => {
                let holder = take.seen.take().map(|seen| seen.holder);
                take.seen = self.lease_now(&take.name).await.filter(|now| Some(&now.holder) == holder.as_ref());
            }
            (How::TakesWithoutRaising, raise) => *raise = None,
            (How::LeasesMakeGenerations, Some(raise)) => {
                let (projection, version) = (raise.projection.clone(), raise.version);
                self.inner.open(&NewGeneration { projection, version, fields: Vec::new() }).await.unwrap();
            }
            (How::RaisesTheLiveOne, Some(raise)) => raise.state = GenerationState::Live,
            _ => {}
        }
        let before = self.lease_now(&take.name).await.filter(|before| before.holder == take.holder);
        let mut answer = self.inner.take_lease(&take).await;
        if let (How::ForgetsSince, Some(_), Ok(lease)) = (self.how, before, &mut answer) {
            lease.since += chrono::TimeDelta::microseconds(1);
        }
        if self.how == How::RaisesThoughRefused && answer.is_err() {
            let seen = self.lease_now(&take.name).await;
            let holder = seen.clone().map_or(take.holder.clone(), |seen| seen.holder);
            self.inner.take_lease(&TakeLease { seen, holder, ..take }).await?;
        }
        answer
    }

    pub(crate) async fn renew_broken(&self, holder: &LeaseHolder) -> Result<Vec<Lease>, ReadModelError> {
        let all = self.inner.leases().await?;
        match self.how {
            How::RenewsNothing => Ok(all.into_iter().filter(|lease| lease.holder == *holder).collect()),
            How::RenewsWhatIsLost => {
                self.inner.renew_leases(holder).await?;
                Ok(all)
            }
            _ => self.inner.renew_leases(holder).await,
        }
    }

    pub(crate) async fn release_broken(&self, lease: &Lease) -> Result<bool, ReadModelError> {
        match self.how {
            How::NeverReleases => Ok(true),
            How::ReleasesWhatIsLost => {
                let now = self.lease_now(&lease.name).await;
                self.inner.release_lease(&now.unwrap_or_else(|| lease.clone())).await
            }
            _ => self.inner.release_lease(lease).await,
        }
    }
}
