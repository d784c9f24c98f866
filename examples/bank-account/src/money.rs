//! Money in minor units (hellers): integers, so that no amount ever changes by being added up.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An amount: what one transaction moves, or a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Money(i64);

/// What amounts add up to: a balance or a total.
///
/// It has twice the bits of [`Money`], so that no history of recorded events, in whatever order and with whatever left
/// out, can overflow it: that would take 2^64 of the largest amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sum(i128);

impl Money {
    pub(crate) const ZERO: Self = Self(0);

    /// So many minor units.
    pub(crate) fn minor(units: i64) -> Self {
        Self(units)
    }

    pub(crate) fn is_positive(self) -> bool {
        self.0 > 0
    }

    pub(crate) fn is_negative(self) -> bool {
        self.0 < 0
    }
}

impl Sum {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) fn add(&mut self, amount: Money) {
        self.0 += i128::from(amount.0);
    }

    pub(crate) fn subtract(&mut self, amount: Money) {
        self.0 -= i128::from(amount.0);
    }

    pub(crate) fn total(sums: impl IntoIterator<Item = Self>) -> Self {
        Self(sums.into_iter().map(|sum| sum.0).fold(0, i128::saturating_add))
    }

    /// What is left after taking away `amount`.
    pub(crate) fn less(mut self, amount: Money) -> Self {
        self.subtract(amount);
        self
    }

    /// In minor units; one that does not fit is as great, or as small, as can be.
    pub(crate) fn nearest(self) -> i64 {
        i64::try_from(self.0).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether it lies below zero by more than `limit`.
    pub(crate) fn is_below(self, limit: Money) -> bool {
        self.0 < -i128::from(limit.0)
    }
}

/// Whole units, a point, two decimals; a minus sign before all of it.
fn show(minor: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let sign = if minor < 0 { "-" } else { "" };
    let units = minor.unsigned_abs();
    f.pad(&format!("{sign}{}.{:02}", units / 100, units % 100))
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(i128::from(self.0), f)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(self.0, f)
    }
}

/// Why a text is no amount.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum MoneyError {
    #[error("{text:?} is not an amount: write whole units and at most two decimals, such as 54298.70")]
    Malformed { text: String },
    #[error("the amount {text} is too large: at most 92233720368547758.07 can be held")]
    TooLarge { text: String },
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let malformed = || MoneyError::Malformed { text: text.chars().take(40).collect() };
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(decimals) || decimals.len() > 2 {
            return Err(malformed());
        }
        let hundredths = decimals.parse::<i64>().map_err(|_| malformed())?;
        let hundredths = if decimals.len() == 1 { hundredths * 10 } else { hundredths };
        let units = whole
            .parse::<i64>()
            .ok()
            .and_then(|whole| whole.checked_mul(100)?.checked_add(hundredths))
            .ok_or_else(|| MoneyError::TooLarge { text: text.chars().take(40).collect() })?;
        Ok(Self(if negative { -units } else { units }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_survives_its_text() {
        for text in ["54298.70", "0.00", "0.05", "-0.05", "-1234.56", "92233720368547758.07"] {
            assert_eq!(text.parse::<Money>().unwrap().to_string(), text);
        }
        assert_eq!("700".parse(), Ok(Money::minor(70_000)));
        assert_eq!("14.6".parse(), Ok(Money::minor(1_460)));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "1.234", "1,5", "1e3", "+1", "--1", " 1", "1 000", "NaN", "١"] {
            assert!(matches!(text.parse::<Money>(), Err(MoneyError::Malformed { .. })), "{text:?} was taken");
        }
    }

    #[test]
    fn an_amount_that_does_not_fit_is_refused() {
        for text in ["92233720368547758.08", "99999999999999999999999999"] {
            assert!(matches!(text.parse::<Money>(), Err(MoneyError::TooLarge { .. })), "{text:?} was taken");
        }
    }

    #[test]
    fn sums_of_the_largest_amounts_stay_exact() {
        let mut sum = Sum::ZERO;
        for _ in 0..1_000 {
            sum.add(Money::minor(i64::MAX));
        }
        assert_eq!(sum.to_string(), "92233720368547758070.00");
        let json = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<Sum>(&json).unwrap(), sum);
    }

    #[test]
    fn below_zero_by_more_than_a_limit() {
        let sum = Sum::ZERO.less(Money::minor(500));
        assert!(sum.is_below(Money::minor(499)) && !sum.is_below(Money::minor(500)));
        assert!(!Sum::ZERO.is_below(Money::minor(i64::MAX)));
    }
}
