//! A room with a thermometer, and how warm it is on the whole.

use factum::{Aggregate, Event, Recorded};
use factum_projections::{ApplyError, Keys, Projection};
use serde::{Deserialize, Serialize};

/// What happened to a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RoomEvent {
    /// Its temperature was measured.
    Measured {
        /// In tenths of a degree Celsius.
        tenths: i64,
    },
}

impl Event for RoomEvent {
    const CATEGORY: &'static str = "room";
}

/// A room with a thermometer.
#[derive(Debug, Default)]
pub struct Room;

/// Why a measurement is refused.
#[derive(Debug, thiserror::Error)]
#[error("{tenths} tenths of a degree is no temperature; look at the sensor")]
pub struct Impossible {
    /// What the sensor said.
    pub tenths: i64,
}

impl Aggregate for Room {
    type Event = RoomEvent;
    /// A temperature, in tenths of a degree.
    type Command = i64;
    type Error = Impossible;

    fn decide(&self, tenths: &i64) -> Result<Vec<RoomEvent>, Impossible> {
        if *tenths < -2_731 {
            return Err(Impossible { tenths: *tenths });
        }
        Ok(vec![RoomEvent::Measured { tenths: *tenths }])
    }

    fn apply(&mut self, _: &RoomEvent) {}
}

/// How warm it is in each room on the whole. It halts at a fire, to show what that looks like.
#[derive(Debug)]
pub struct Warmth;

/// What was measured in a room.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mean {
    /// In tenths of a degree.
    pub sum: i64,
    /// How often.
    pub count: i64,
}

/// From here on it burns, in tenths of a degree.
const FIRE: i64 = 1_000;

impl Projection for Warmth {
    const NAME: &'static str = "warmth";
    type Event = RoomEvent;
    type Document = Mean;

    fn keys(&self, event: &Recorded<RoomEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _room: &str, mean: &mut Option<Mean>, event: &Recorded<RoomEvent>) {
        let RoomEvent::Measured { tenths } = event.data;
        let mean = mean.get_or_insert_default();
        (mean.sum, mean.count) = (mean.sum + tenths, mean.count + 1);
    }

    fn try_apply(&self, room: &str, mean: &mut Option<Mean>, event: &Recorded<RoomEvent>) -> Result<(), ApplyError> {
        let RoomEvent::Measured { tenths } = event.data;
        if tenths >= FIRE {
            return Err(ApplyError::new("it burns"));
        }
        self.apply(room, mean, event);
        Ok(())
    }
}
